"""What a run says where no answer was taken, or nobody asked; the last answer stays as a draft."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmport_magic.errors import GMNOutputError, VerificationError
from llmport_magic.progress import ModuleRequest, Spent
from llmport_magic.session import Session
from llmport_magic.settings import Settings

if TYPE_CHECKING:
    from llmport_magic.modules.budget import End
    from llmport_magic.modules.strategy import AttemptRecord
    from llmport_magic.modules.verdict import Verdict


def frozen(settings: Settings) -> str:
    """Say that nobody may be asked, and by whose word."""
    return f"`mode = frozen` (set by {settings.source('mode')}): no model is asked"


def nobody_asked(request: ModuleRequest) -> str:
    """Say why a prompt cell asks nobody, and what its code is then."""
    missing = f"this prompt's `{request.name}` is not in this folder's store"
    below = f"the {request.sort.text} in the cell below is used"
    if request.settings.mode != "frozen":
        return f"{missing}; {below}, and no model is asked (`--regenerate` asks one)"
    if request.name is None:
        return f"{frozen(request.settings)}; the code that one gave before is in a cell below"
    if request.regenerate or request.draft:
        return f"{frozen(request.settings)}; `{request.name}` stays as it is"
    return f"{frozen(request.settings)}; {missing}, {below}"


def refused(
    request: ModuleRequest, session: Session, source: str, verdict: Verdict
) -> VerificationError:
    """Keep code that nobody may run as a draft, to be read as text."""
    if request.name is not None:
        session.store(request.settings).keep_draft(request.name, source)
    found = "; ".join(verdict.findings[:2])
    if request.purpose == "fix":
        return VerificationError(
            f"the corrected cell was refused, neither placed nor run: {found}. Say after "
            "`%llmport fix` what not to do; `%llmport log` has the answer",
            findings=verdict.findings,
            source=source,
        )
    if request.name is None:
        return VerificationError(
            f"the cell was refused, neither placed nor run: {found}. Say in the prompt what not to "
            "do; `%llmport log` has the answer",
            findings=verdict.findings,
            source=source,
        )
    return VerificationError(
        f"the answer for `{request.name}` was refused and not run: {found}. Read it with "
        f"`%llmport show {request.name} --draft`, or say in the prompt what not to do",
        findings=verdict.findings,
        source=source,
    )


def given_up(
    request: ModuleRequest,
    session: Session,
    history: Sequence[AttemptRecord],
    end: End,
    spent: Spent,
) -> VerificationError | GMNOutputError:
    """Say what is wrong with the last candidate, which is kept as a draft, and what ended it.

    Args:
        request: what was asked for.
        session: of this kernel.
        history: the attempts, none of which passed.
        end: why there is no further one.
        spent: what they took.
    """
    last = history[-1]
    name = request.name
    if request.name is not None and last.source:
        session.store(request.settings, request.sort).keep_draft(request.name, last.source)
    found = "; ".join(last.findings[:2]) or f"the answer holds no {request.sort.noun}"
    tried = f"{len(history)} answer{'s' if len(history) > 1 else ''} ({_took(spent)})"
    if request.purpose == "fix":
        text = (
            f"no corrected cell: {tried} tried, none is one. {found}. Say more after `%llmport "
            f"fix`, or use another model; {end.text}; `%llmport log` has the answers"
        )
    elif name is None:
        text = (
            f"no cell: {tried} tried, none passed. {found}. Nothing was placed; {end.text}; say "
            "more in the prompt, or use another model; `%llmport log` has the answers"
        )
    else:
        sort = request.sort
        advice = f"{end.text}; say more in the prompt, or see `{sort.command} show {name} --draft`"
        text = (
            f"no {sort.noun} `{name}`: {tried} tried, none passed. {found}. Nothing was "
            f"registered; {end.text if end.limit == 'example' else advice}"
        )
    if request.purpose == "specification":
        return GMNOutputError(text, findings=last.findings, text=last.source)
    return VerificationError(text, findings=last.findings, source=last.source)


def _took(spent: Spent) -> str:
    tokens = f"{spent.prompt_tokens:,} + {spent.completion_tokens:,} tokens"
    return f"{tokens}, ${spent.cost:.4f}" if spent.cost else tokens
