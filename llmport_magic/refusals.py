"""What a run says where no answer was taken; the last answer stays as a draft."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmport_magic.errors import VerificationError
from llmport_magic.progress import ModuleRequest
from llmport_magic.session import Session

if TYPE_CHECKING:
    from llmport_magic.modules.strategy import AttemptRecord
    from llmport_magic.modules.verdict import Verdict


def refused(
    request: ModuleRequest, session: Session, source: str, verdict: Verdict
) -> VerificationError:
    """Keep code that nobody may run as a draft, to be read as text."""
    if request.name is not None:
        session.store(request.settings).keep_draft(request.name, source)
    name, found = request.name or "the cell", "; ".join(verdict.findings[:2])
    return VerificationError(
        f"the answer for `{name}` was refused and not run: {found}. Read it with "
        f"`%llmport show {name} --draft`, or say in the prompt what not to do",
        findings=verdict.findings,
        source=source,
    )


def given_up(
    request: ModuleRequest,
    session: Session,
    history: Sequence[AttemptRecord],
    verdicts: Sequence[Verdict],
) -> VerificationError:
    """Keep the last candidate as a draft and say what is wrong with it."""
    last = history[-1]
    doubt = _questioned(verdicts)
    name = request.name or "cell"
    if request.name is not None and last.source:
        session.store(request.settings).keep_draft(request.name, last.source)
    found = "; ".join(last.findings[:2]) or "the answer holds no module"
    tried = f"{len(history)} answer{'s' if len(history) > 1 else ''}"
    advice = doubt or (
        f"say more in the prompt, raise `--tries`, or see `%llmport show {name} --draft`"
    )
    return VerificationError(
        f"no module `{name}`: {tried} tried, none passed. {found}. Nothing was registered; "
        f"{advice}",
        findings=last.findings,
        source=last.source,
    )


def _questioned(verdicts: Sequence[Verdict]) -> str:
    """Doubt an example on which several answers agree with each other, but not with it."""
    seen: dict[tuple[str, str], int] = {}
    for verdict in verdicts:
        for outcome in verdict.examples:
            if not outcome.passed and outcome.got:
                seen[outcome.source, outcome.got] = seen.get((outcome.source, outcome.got), 0) + 1
    agreed = [(count, pair) for pair, count in seen.items() if count > 1]
    if not agreed:
        return ""
    count, (source, got) = max(agreed)
    return f"{count} answers agree that `{source}` gives {got}: is the example right?"
