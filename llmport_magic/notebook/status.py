"""`%llmport` and `%llmport models`: who would answer and why, and what else could."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from llmport_magic.errors import LLMError, UsageError
from llmport_magic.modules.sorts import SPECIFICATION
from llmport_magic.notebook.configuration import unknown
from llmport_magic.notebook.model_table import model_table

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import LLMProfile
    from llmport_magic.llm.registry import ProviderRow
    from llmport_magic.llm.standing import Standing
    from llmport_magic.session import Session
    from llmport_magic.settings import Settings

# How many models of each provider are shown where all providers are.
_MOST_MODELS = 8
_MOST_SERVED = 40
_LISTED_SECONDS = 5


def status_lines(settings: Settings, memory: Session) -> list[str]:
    """Give the lines of the status: who answers, what is sent, checks, modules and what was spent.

    Args:
        settings: as they resolve now.
        memory: of this kernel.
    """
    from llmport_magic.llm.standing import standing
    from llmport_magic.modules.sandbox.sandboxing import level, warmth

    store = memory.store(settings)
    agents = memory.store(settings, SPECIFICATION).names()
    checks = " · ".join(filter(None, [level(), warmth()]))
    return [
        *_answers(standing(settings)),
        *_slips(settings),
        "sends      the prompt, and what `--with` or {{ }} names; nothing else",
        f"checks     {checks} · trust = {settings.trust} ({settings.source('trust')})",
        f"modules    {', '.join(store.names()) or 'none yet'} (in {store.directory})",
        *([f"agents     {', '.join(agents)}: `%gmn`"] if agents else []),
        f"so far     {_spent(memory)}",
        "`%llmport help` lists what else there is",
    ]


def _answers(found: Standing) -> list[str]:
    if found.provider is None:
        lines = [f"answers    nobody yet: {found.why}"]
    else:
        lines = [f"answers    {found.who} ({found.why})"]
        if found.model_source not in ("", "catalogue"):
            lines.append(f"model      set by {found.model_source}")
        if found.address:
            lines.append(f"address    {found.address}")
        if found.missing:
            lines.append(f"missing    {found.missing}")
        if found.fallback:
            lines.append(f"then       {', '.join(found.fallback)}: the prompt goes to them, too")
    return [*lines, *(f"note       {note}" for note in found.notes)]


def _slips(settings: Settings) -> list[str]:
    """Tell of the first name that means nothing, and where the others are told."""
    first, *others = [*unknown(settings), ""]
    more = f"; `%llmport config` tells {len(others) - 1} more" if len(others) > 1 else ""
    return [f"note       {first}{more}"] if first else []


def _spent(memory: Session) -> str:
    totals = memory.totals
    cost = f" · ${totals.cost:.4f}" if totals.cost else ""
    if totals.unpriced_calls and totals.cost:
        cost += f" + {_calls(totals.unpriced_calls)} of unknown price"
    about = "about " if totals.estimated_calls else ""
    tokens = f"{about}{totals.prompt_tokens:,} + {totals.completion_tokens:,} tokens"
    kept = f" · {totals.cached_calls} cached" if totals.cached_calls else ""
    return f"{_calls(totals.calls)} · {tokens}{cost}{kept}"


def _calls(count: int) -> str:
    return f"{count} call{'s' * (count != 1)}"


def model_lines(words: list[str], settings: Settings) -> list[str]:
    """Give the lines of the providers, and of the models of those that are named.

    Raises:
        UsageError: there is no provider of such a name.
    """
    from llmport_magic.llm.registry import default_registry, provider_rows
    from llmport_magic.llm.standing import standing

    rows = provider_rows()
    names = [row.name for row in rows]
    for word in words:
        if word not in names:
            near = difflib.get_close_matches(word, names, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"there is {', '.join(names)}"
            raise UsageError(f"there is no provider `{word}`: {hint}")
    first = standing(settings, looks=False).provider
    lines: list[str] = []
    for row in rows:
        if words and row.name not in words:
            continue
        mark = "→" if row.name == first else "✓" if row.available else "·"
        profiles = default_registry().provider(row.name).models.values()
        lines.append(f"{mark} {row.name:<12} {row.hint}")
        if not words:
            lines += _first_models(row, profiles)
        else:
            lines += model_table(profiles) or _served_models(row)
    return [*lines, "→ would answer now, ✓ could be asked, · is not set up"]


def _served_models(row: ProviderRow) -> list[str]:
    """Ask a server on this machine, which answered just now, what it serves."""
    from llmport_magic import bridge
    from llmport_magic.llm.provider import LLMProvider
    from llmport_magic.llm.registry import default_registry, named_connector
    from llmport_magic.llm.served import served

    if not (row.available and default_registry().provider(row.name).probe):
        return [f"    {name}" for name in row.models[:_MOST_SERVED]]
    try:
        connector = named_connector(row.name, total_timeout=_LISTED_SECONDS, attempts=1)
        if not isinstance(connector, LLMProvider):
            return []
        bridge.run(connector.models())
    except LLMError as error:
        return [f"    it does not say what it serves: {error}"]
    names = served(row.name, connector.config.base_url)
    more = len(names) - _MOST_SERVED
    shown = [f"    {name}" for name in names[:_MOST_SERVED]] or ["    it serves no model"]
    return [*shown, f"    and {more} more"] if more > 0 else shown


def _first_models(row: ProviderRow, profiles: Iterable[LLMProfile]) -> list[str]:
    """Name the model that is asked by default and others that do not end, and where all are."""
    stays = (p.name for p in profiles if p.retired_on is None and p.name != row.model)
    others = list(islice(stays, _MOST_MODELS - bool(row.model)))
    shown = [*([f"    {row.model} (default)"] if row.model else []), *(f"    {n}" for n in others)]
    gone = row.ended - {row.model}
    more = len(row.models) - len(others) - (row.model in row.models) - len(gone)
    counts = [f"{more} more"] * (more > 0) + [f"{len(gone)} that have ended"] * bool(gone)
    told = f"    … and {' and '.join(counts)}: `%llmport models {row.name}`"
    return [*shown, told] if counts else shown
