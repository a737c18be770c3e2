"""`%%llmport`, `%%llmport_module` and `%%gmn`: parse the cell, hand it to the pipeline."""

from __future__ import annotations

import uuid
from types import ModuleType
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_cell_magic, magics_class, no_var_expand

from llmport_magic.errors import UsageError
from llmport_magic.notebook import cells
from llmport_magic.notebook.gmn_options import GMN_HELP
from llmport_magic.notebook.options import (
    HELP,
    CellLine,
    parse_cell_line,
    parse_module_line,
    parse_subcommand,
)


@magics_class
class LLMPortMagics(Magics):
    """The magics of one IPython shell."""

    @no_var_expand
    @line_cell_magic
    def llmport(self, line: str, cell: str | None = None) -> None:
        """See `HELP`; IPython shows it for `%%llmport?`."""
        if cell is None:
            from llmport_magic.notebook import commands

            command, words = parse_subcommand(line)
            commands.run(command, words, self.shell)
            return
        options = parse_cell_line(line)
        self._prompt_cell(options, line, cell)

    llmport.__doc__ = HELP

    @no_var_expand
    @cell_magic
    def llmport_module(self, line: str, cell: str) -> None:
        """Stand for a module's source: run it to select it, edit and run it to change it."""
        from llmport_magic import bridge
        from llmport_magic.editing import CellText, write_cell
        from llmport_magic.notebook import display
        from llmport_magic.progress import Left
        from llmport_magic.registration import register
        from llmport_magic.session import session
        from llmport_magic.settings import resolve

        options = parse_module_line(line)
        memory, settings = session(), resolve()
        cell_id, run = cells.cell_id(self.shell), uuid.uuid4().hex
        source = cell if cell.endswith("\n") else cell + "\n"
        held = CellText(name=options.name, base=options.base, source=source, cell_id=cell_id)
        event, is_new = bridge.run(write_cell(held, settings, memory, run=run))
        if isinstance(event, Left):
            print(f"· {event.text}")  # noqa: T201 - below the cell
            return
        version = event.version
        if options.hold:
            proof = event.verdict.line() if event.verdict else ""
            print(  # noqa: T201 - below the cell
                f"· {options.name} v{version.number} is held back: {proof}. "
                "Read the code, delete `--hold` in the first line and run the cell to register it"
            )
            return
        version = memory.store(settings).confirm(version, consented=True)
        registered = register(
            version,
            settings,
            memory,
            run=run,
            namespaces=(self.shell.user_ns,),
            cell_id=cell_id,
            told=tell_autoreload(self.shell),
        )
        self._bind(options.name)
        # Your own text is registered whatever the examples say: then you are told what they say.
        is_wrong = event.verdict is not None and event.verdict.proof == "failed"
        found = event.verdict.findings[:5] if event.verdict and is_wrong else ()
        first, *more = display.register_lines(registered, event.verdict, edited=is_new)
        for text in (first, *(f"  {finding}" for finding in found), *more):
            print(text)  # noqa: T201 - below the cell
        if is_new:
            cells.place(self.shell, version, after=cell_id, hold=False, rewrite=True)

    @no_var_expand
    @line_cell_magic
    def gmn(self, line: str, cell: str | None = None) -> None:
        """See `GMN_HELP`; IPython shows it for `%%gmn?`."""
        if cell is None:
            from llmport_magic.notebook import gmn_commands

            gmn_commands.run(line, self.shell)
            return
        from llmport_magic.notebook.gmn import run_cell

        run_cell(line, cell, self.shell)

    gmn.__doc__ = GMN_HELP

    def _prompt_cell(self, options: CellLine, line: str, cell: str) -> None:
        from llmport_magic.notebook.asking import asked
        from llmport_magic.notebook.display import made_lines

        request = self._request(options, line, cell)
        outcome = asked(
            request,
            self.shell,
            options.name or "cell",
            preview=options.preview,
            namespaces=(self.shell.user_ns,),
            told=tell_autoreload(self.shell),
        )
        if outcome is None:
            return
        made, shown = outcome
        if made.module is not None and options.name:
            self._bind(options.name)
        shown.finish(
            *made_lines(made, options.name or "cell", show_code=options.no_cell or options.draft)
        )
        self._insert(made, request.cell_id, options)

    def _request(self, options: CellLine, line: str, cell: str) -> Any:
        from llmport_magic.notebook.asking import settings_of
        from llmport_magic.notebook.sampling import Copies
        from llmport_magic.progress import ModuleRequest

        namespace = self.shell.user_ns
        if not cell.strip():
            raise UsageError("the prompt is empty: write below the first line what you want")
        taken = namespace.get(options.name) if options.name else None
        if taken is not None and not isinstance(taken, ModuleType):
            raise UsageError(
                f"`{options.name}` is a variable of this notebook ({type(taken).__name__}): choose "
                "another name for the module"
            )
        settings = settings_of(options)
        name = options.name
        whole = f"%%llmport {line}\n{cell}"
        from llmport_magic.notebook.context import Context, named, render

        context = Context(named(options.context), namespace, cells.run_cells(self.shell))
        prompt = render(cell.strip("\r\n"), namespace)
        copies = Copies(named(options.context), prompt, namespace, settings.trial_rows)
        return ModuleRequest(
            name=name,
            prompt=prompt,
            settings=settings,
            options=options.shaping(),
            update=options.update,
            regenerate=options.regenerate,
            draft=options.draft,
            describe=lambda: context.describe(settings.context_tokens, settings.model or ""),
            digests=context.digests(),
            cell_id=cells.cell_id(self.shell),
            user_names=frozenset(
                key
                for key, value in namespace.items()
                if not key.startswith("_") and getattr(value, "__module__", None) != (name or "")
            ),
            variables=copies.names,
            copied=copies.data,
            samples=copies.take if copies.data and settings.trial_rows else None,
            linked=(lambda: cells.linked_bases(name, whole)) if name else None,
        )

    def _bind(self, name: str) -> None:
        from llmport_magic.api import live_module

        module = live_module(name)
        if module is not None:
            self.shell.user_ns[name] = module

    def _insert(self, made: Any, cell_id: str | None, options: CellLine) -> None:
        from llmport_magic.progress import Drafted, Stored

        if options.no_cell or options.draft:
            return
        if isinstance(made.event, Stored):
            cells.place(self.shell, made.event.version, after=cell_id, hold=made.held)
        elif isinstance(made.event, Drafted):
            cells.place_code(self.shell, made.event.source, after=cell_id)


def tell_autoreload(shell: Any) -> Any:
    """Tell IPython's autoreload that a module is up to date, so that it does not load it again."""

    def tell(name: str, module: ModuleType) -> None:
        from llmport_magic.modules import loader

        for magics in list(shell.magics_manager.registry.values()):
            reloader = getattr(magics, "_reloader", None)
            if reloader is not None:
                loader.tell_autoreload(reloader, name, module)

    return tell
