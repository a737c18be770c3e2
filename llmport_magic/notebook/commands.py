"""`%llmport SUBCOMMAND`: look at what there is, and choose between versions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmport_magic.errors import UsageError
from llmport_magic.notebook import preview, versions
from llmport_magic.notebook.configuration import config_lines, trust_lines
from llmport_magic.notebook.display import say
from llmport_magic.notebook.options import LOG_OPTIONS, read_options
from llmport_magic.notebook.status import model_lines, status_lines
from llmport_magic.session import session
from llmport_magic.settings import resolve


def run(command: str, words: list[str], shell: Any) -> None:
    """Run a subcommand; the empty one is the status.

    Raises:
        UserError: a word that the subcommand does not know.
    """
    _COMMANDS[command](words, shell)


def _status(words: list[str], shell: Any) -> None:
    say(*status_lines(resolve(), session()))


def _models(words: list[str], shell: Any) -> None:
    say(*model_lines(words, resolve()))


def _config(words: list[str], shell: Any) -> None:
    say(*config_lines(words))


def _trust(words: list[str], shell: Any) -> None:
    say(*trust_lines(words))


def _fix(words: list[str], shell: Any) -> None:
    from llmport_magic.notebook.fix import fix

    fix(words, shell)


def _explain(words: list[str], shell: Any) -> None:
    from llmport_magic.notebook.explain import explain

    explain(words, shell)


def _log(words: list[str], shell: Any) -> None:
    found = read_options(words, LOG_OPTIONS, "%llmport log")
    if found["names"] or (not found["pairs"] and (found["task"] or found["unverified"])):
        raise UsageError("`%llmport log`, or `%llmport log --pairs FILE [--task gmn|code]`")
    settings = resolve()
    sink = session().sink(settings)
    sink.pages.flush()
    if found["pairs"]:
        from llmport_magic.log.pairs import export_pairs

        path, task = Path(found["pairs"]).expanduser(), found["task"]
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder `{path.parent}`")
        written = export_pairs(sink.directory, path, task, unverified=found["unverified"])
        pairs = f"{written.pairs:,} pair{'s' * (written.pairs != 1)}"
        say(f"✓ {path} · {pairs}", *(f"  {each}" for each in written.problems))
        return
    pages = sorted(sink.directory.glob("llmport_log*.ipynb"))
    say(*(str(page) for page in pages), f"journal: {sink.journal.path}")


def _panel(words: list[str], shell: Any) -> None:
    from IPython.display import display

    from llmport_magic.notebook.widget import panel

    display(panel(shell))


def _model(words: list[str], shell: Any) -> None:
    from llmport_magic.llm import weights

    if not words:
        say(*(model.describe() for model in weights.catalogue().values()))
        found = weights.find_weights(resolve().embedded_model)
        say(f"installed: {found}" if found else "none is installed: `%llmport model install`")
        return
    size = words[1] if len(words) > 1 else "large"
    if words[0] != "install" or size not in {"large", "small"}:
        raise UsageError(
            "`%llmport model` tells what there is; `%llmport model install [large|small]`"
        )

    say(weights.weights_for(size).describe())

    def show(progress: weights.Progress) -> None:
        share = f"{progress.done / progress.total:4.0%} " if progress.total else ""
        sys.stdout.write(f"\r{share}{progress.text:<100}")
        sys.stdout.flush()

    path = weights.ensure_weights(size, show)
    say("", f"installed: {path}")


def _cache(words: list[str], shell: Any) -> None:
    from llmport_magic.llm.cache import clear_cache, kept_answers

    if words == ["clear"]:
        say(f"{_answers(clear_cache())} deleted")
        return
    if words:
        raise UsageError("`%llmport cache` tells what is kept; `%llmport cache clear` deletes it")
    settings, kept = resolve(), kept_answers()
    count, size = kept.size()
    state = f"{'on' if settings.cache else 'off'} ({settings.source('cache')})"
    given = session().totals.cached_calls
    say(
        f"{state} · {_answers(count)}, {size / 1e6:,.1f} MB, in {kept.path}",
        f"{_answers(given)} of them given in this session",
    )


def _answers(count: int) -> str:
    return f"{count:,} answer{'s' * (count != 1)}"


def _keep(words: list[str], shell: Any) -> None:
    from llmport_magic.notebook.keep import keep

    keep(words, shell)


def _templates(words: list[str], shell: Any) -> None:
    from llmport_magic.notebook.templates import templates

    templates(words, shell)


def _help(words: list[str], shell: Any) -> None:
    from llmport_magic.notebook.options import HELP

    say(
        HELP,
        "%llmport [status]             who answers, what is sent, modules, tokens and cost",
        "%llmport models [PROVIDER]    providers, what is missing; one: its models, prices",
        "%llmport config [NAME]        settings and where they come from: all, one, a provider's",
        "%llmport trust [FILE | all]   what settings files of the project may say; allow one",
        "%llmport modules              stored modules",
        "%llmport show NAME [VERSION | --draft] [--colour]",
        "%llmport diff NAME [A B]      what changed between two versions",
        "%llmport rollback NAME [VERSION]",
        "%llmport retry NAME [VERSION]  register what waited for a package; no call",
        "%llmport preview              the last request, as it was built",
        "%llmport fix [WISH]           the last error -> a corrected cell; --with VAR, --replace",
        "%llmport explain [NAME|last]  what the last error means, or what a module does",
        "%llmport keep EXPR            what EXPR gives now -> an example in the prompt; --yes",
        "%llmport templates [NAME]     what models are told; `write [FILE]` begins your own",
        "%llmport log                  write the log notebook now and say where it is",
        "%llmport log --pairs FILE     prompts and the answers that passed, to tune a model on",
        "%llmport panel                the panel as a widget, for other front ends",
        "%llmport model [install large|small]   the embedded model",
        "%gmn help                     specifications of agents",
        "%llmport cache [clear]        how many answers are kept, and where; or delete them",
    )


_COMMANDS: dict[str, Callable[[list[str], Any], None]] = {
    "": _status,
    "status": _status,
    "models": _models,
    "config": _config,
    "trust": _trust,
    "modules": versions.listing,
    "show": versions.show,
    "diff": versions.diff,
    "rollback": versions.rollback,
    "retry": versions.retry,
    "preview": preview.preview,
    "keep": _keep,
    "fix": _fix,
    "explain": _explain,
    "templates": _templates,
    "log": _log,
    "panel": _panel,
    "model": _model,
    "cache": _cache,
    "help": _help,
}
