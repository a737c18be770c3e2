"""`%llmport keep EXPR`: what an expression gives now becomes an example of the prompt."""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from llmport_magic import bridge
from llmport_magic.errors import UsageError, VerificationError
from llmport_magic.modules.parsing import parse
from llmport_magic.notebook import cells, comm
from llmport_magic.notebook.context import render
from llmport_magic.notebook.display import say
from llmport_magic.notebook.options import parse_cell_line
from llmport_magic.registration import needs_consent
from llmport_magic.session import Session, session
from llmport_magic.settings import Settings, resolve

if TYPE_CHECKING:
    from llmport_magic.modules.store import ModuleStore
    from llmport_magic.modules.version import Version

_USAGE = (
    "`%llmport keep EXPR` adds what EXPR gives now to the prompt as an example, as in "
    "`%llmport keep circle.area(2)`; `--yes` before or after EXPR does not ask"
)
_FLAGS = {"provider": "--provider", "model": "--model", "temperature": "-t", "with": "--with"}


@dataclass(frozen=True, slots=True)
class _PromptCell:
    """The cell that a module's example belongs to.

    Attributes:
        made: the version that the cell made.
        first: its first line, which names the module.
        body: the prompt as it is written there.
        text: the whole cell as it was run, or inserted by `keep`; empty where neither was here.
    """

    made: Version
    first: str
    body: str
    text: str = ""


def keep(words: list[str], shell: Any) -> None:
    """Show an expression's value as an example, ask, and add it to the prompt's cell.

    The module's current code is checked against the prompt with the new example, and stored as
    the version of that prompt: running the changed cell selects it, and asks nobody.
    """
    expression, is_agreed = _read(" ".join(words))
    settings, memory = resolve(), session()
    name = _module_of(expression, shell.user_ns)
    version = _current(name, settings, memory)
    _refuse_unknown(expression, name)
    example = _observe(expression, shell.user_ns, name)
    store = memory.store(settings)
    cell = _prompt_cell(shell, store, version, memory.kept.get(name, ""))
    written = _escaped(example)
    if written in cell.body:
        say(f"· the prompt of `{name}` has this example already")
        return
    changed = f"{cell.body.rstrip()}\n\n{written}\n"
    prompt = render(changed.strip("\r\n"), shell.user_ns)
    verdict = _verdict(name, version, prompt, cell.made, settings)
    say(example)
    if not example.count("\n"):
        say("it gives nothing: the example only checks that it runs")
    if not is_agreed and not _agrees(name, expression):
        say("· nothing was kept")
        return
    kept = _store(store, version, cell.made, prompt, verdict)
    memory.select(settings, kept)
    memory.kept[name] = f"{cell.first}\n{changed}".rstrip("\n")
    where = _place(shell, memory.kept[name], cell)
    say(
        f"✓ {name} v{kept.number} · {verdict.line(allowed=not needs_consent(kept, settings))}",
        f"  {where}; running it selects v{kept.number}, the code that you have, and asks nobody",
    )


def _read(line: str) -> tuple[str, bool]:
    """Give the expression, and whether the user has agreed already.

    Raises:
        UsageError: there is none, or it is none.
    """
    expression = line.strip()
    is_agreed = expression.startswith("--yes ") or expression.endswith(" --yes")
    expression = expression.removeprefix("--yes ").removesuffix(" --yes").strip()
    if not expression or expression.startswith("--"):
        raise UsageError(_USAGE)
    try:
        tree = parse(expression, "eval")
    except (SyntaxError, ValueError):
        raise UsageError(f"`{expression}` is no expression: {_USAGE}") from None
    if any(isinstance(node, ast.Await) for node in ast.walk(tree)):
        raise UsageError("an example with `await` is written by hand: add it to the prompt")
    return expression, is_agreed


def _names(expression: str) -> Iterator[str]:
    for node in ast.walk(parse(expression, "eval")):
        if isinstance(node, ast.Name):
            yield node.id


def _module_of(expression: str, namespace: Mapping[str, Any]) -> str:
    """Find the one module of ours that the expression uses."""
    from llmport_magic.modules.loader import registered_source

    found: dict[str, None] = {}
    for name in _names(expression):
        value = namespace.get(name)
        home = value.__name__ if isinstance(value, ModuleType) else _home(value)
        if home and registered_source(home) is not None:
            found[home] = None
    if not found:
        raise UsageError(
            f"`{expression}` uses no module that a prompt of this notebook made: call one of its "
            "functions, as in `%llmport keep circle.area(2)`"
        )
    if len(found) > 1:
        names = " and ".join(f"`{name}`" for name in found)
        raise UsageError(
            f"`{expression}` uses {names}: an example belongs to one prompt, so write the value of "
            "the others into it"
        )
    return next(iter(found))


def _home(value: Any) -> str:
    found = getattr(value, "__module__", "") if callable(value) else ""
    return found if isinstance(found, str) else ""


def _current(name: str, settings: Settings, memory: Session) -> Version:
    from llmport_magic.modules.selection import on_disk

    version = memory.current(settings, name) or on_disk(memory.store(settings), name)
    if version is None:
        raise UsageError(f"`{name}` has no stored version here: run its prompt cell first")
    return version


def _refuse_unknown(expression: str, name: str) -> None:
    from llmport_magic.modules.examples import bound_names, loaded_names

    known = {name, *dir(builtins), *vars(sys.modules[name]), *bound_names(expression)}
    unknown = sorted(loaded_names(expression) - known)
    if unknown:
        raise UsageError(
            f"`{'`, `'.join(unknown)}` is known to your notebook only, and `{name}` is checked "
            "without it: write the value itself into the expression, and the module's own name "
            f"`{name}` where it is an alias. An example on what `--with` names is written by hand"
        )


def _observe(expression: str, namespace: dict[str, Any], name: str) -> str:
    """Evaluate the expression where the user would, and write down what it gave."""
    from llmport_magic.modules.observed import example_of_error, example_of_value

    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            # The user's own expression in the user's own namespace, as in any cell.
            value = eval(expression, namespace)  # noqa: S307
    except Exception as error:  # noqa: BLE001 - whatever the module raises is what it does
        if not _raised_in(error, name):
            raise UsageError(f"`{expression}` fails: {type(error).__name__}: {error}") from None
        return example_of_error(expression, error)
    return example_of_value(expression, value, printed.getvalue())


def _escaped(example: str) -> str:
    """Double the braces where the prompt would take them for `{{ expression }}`."""
    if "{{" not in example and "}}" not in example:
        return example
    return example.replace("{{", "{{{{").replace("}}", "}}}}")


def _raised_in(error: BaseException, name: str) -> bool:
    """Tell whether the module itself raised an error, which is then a part of what it does."""
    step, home = error.__traceback__, ""
    while step is not None:
        home = step.tb_frame.f_globals.get("__name__", "")
        step = step.tb_next
    return home == name


# -- the prompt's cell -------------------------------------------------------------------------


def _prompt_cell(shell: Any, store: ModuleStore, version: Version, kept: str) -> _PromptCell:
    """Find the cell whose prompt made the version, or what the version was edited from.

    Args:
        shell: IPython's shell.
        store: where the version lies.
        version: whose cell it is.
        kept: the cell that `keep` inserted last, which need not have been run.
    """
    line = store.lineage(version)
    for text in reversed([*cells.run_cells(shell)[:-1], kept]):
        first, _, body = text.partition("\n")
        magic, _, rest = first.strip().partition(" ")
        made = _made_by(rest, body, shell.user_ns, line) if magic == "%%llmport" else None
        if made is not None:
            return _PromptCell(made, first.rstrip(), body, text)
    made = next((each for each in line if each.prompt), None)
    if made is None:
        raise UsageError(
            f"`{version.name}` has no prompt, as it was made from a file: write one with "
            f"`%%llmport {version.name} --update`"
        )
    flags = [f"{_FLAGS[key]} {value}" for key, value in made.options.items() if key in _FLAGS]
    update = ["--update"] if made.origin == "update" else []
    first = " ".join(["%%llmport", version.name, *update, *flags])
    return _PromptCell(made, first, _escaped(made.prompt))


def _made_by(
    rest: str, body: str, namespace: Mapping[str, Any], line: tuple[Version, ...]
) -> Version | None:
    from llmport_magic.modules.version import version_key

    try:
        options = parse_cell_line(rest)
        prompt = render(body.strip("\r\n"), namespace)
    except UsageError:
        return None
    for version in line:
        parent = (version.parent or "") if options.update else ""
        key = version_key(version.name, parent, prompt, options.shaping())
        if options.name == version.name and version.key == key:
            return version
    return None


def _verdict(name: str, version: Version, prompt: str, made: Version, settings: Settings) -> Any:
    """Check the code that is there against the prompt with the new example.

    Raises:
        VerificationError: it does not hold in the sandbox.
    """
    from llmport_magic.attempts import check_module
    from llmport_magic.modules.examples import parse_examples
    from llmport_magic.modules.trial.samples import named_variables

    checked = check_module(
        version.source,
        name,
        parse_examples(prompt),
        settings,
        consent=True,
        variables=named_variables([made]),
    )
    verdict = bridge.run(checked)
    if verdict.proof == "failed":
        raise VerificationError(
            f"the sandbox does not give what your notebook gives, so nothing was kept: "
            f"{'; '.join(verdict.findings[:2])}",
            findings=verdict.findings,
            source=version.source,
        )
    return verdict


def _agrees(name: str, expression: str) -> bool:
    try:
        answer = input(f"Add this example to the prompt of `{name}`? [y/N] ")
    except (EOFError, NotImplementedError):
        raise UsageError(
            "this front end cannot ask: `%llmport keep --yes "
            f"{expression}` adds the example that is shown above"
        ) from None
    return answer.strip().lower() in {"y", "yes"}


def _store(
    store: ModuleStore, version: Version, made: Version, prompt: str, verdict: Any
) -> Version:
    """Store the code that is there as the version of the prompt with the new example."""
    from llmport_magic.modules.version import NewVersion, version_key

    by_hand = version.origin == "cell"
    return store.add(
        NewVersion(
            name=version.name,
            key=version_key(version.name, made.parent or "", prompt, made.options),
            parent=made.parent,
            # A hand edit stays one: a prompt that changes again must not leave it behind.
            origin="cell" if by_hand else made.origin,
            source=version.source,
            prompt=prompt,
            options=dict(made.options),
            provider=made.provider,
            model=made.model,
            verdict=verdict.to_dict(),
            consented=version.consented,
            cell_id=made.cell_id,
            context=dict(made.context),
        )
    )


def _place(shell: Any, text: str, cell: _PromptCell) -> str:
    """Put the changed prompt into its cell where the front end can, else into a new one below."""
    if cell.text and cell.made.cell_id:
        placed = comm.place(
            text, name=None, base=None, after=cell.made.cell_id, rewrite=True, was=cell.text
        )
        if placed:
            return "the prompt's cell has the example now"
    shell.set_next_input(text)
    return "the cell below has the whole prompt with the example, and takes the old one's place"
