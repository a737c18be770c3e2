"""The two roads to an answer: one call and nothing else, and the product's own pipeline."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from record import Kept, answers
from task import check, passes_hidden

from llmport_magic.errors import LLMOutputError, MissingPackageError, VerificationError
from llmport_magic.modules.examples import parse_examples
from llmport_magic.modules.extraction import extract_module
from llmport_magic.modules.prompts import build_request
from llmport_magic.modules.strategy import AttemptPlan
from llmport_magic.pipeline import write
from llmport_magic.progress import Checked, ModuleRequest, Started, Stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from task import Task

    from llmport_magic.llm.connector import BaseLLMConnector
    from llmport_magic.session import Session
    from llmport_magic.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one road came to on one task.

    Attributes:
        hidden: whether the hidden examples pass.
        stored: whether the road handed over a module: for the pipeline, a stored version.
        examples: whether the prompt's own examples pass.
        attempts: how many answers were asked for.
        styles: how each was asked for.
        prompt_tokens: what the model read in all.
        completion_tokens: what it wrote in all.
        seconds: how long it took for that.
        findings: what the last check said against the answer.
        source: the module.
    """

    hidden: bool = False
    stored: bool = False
    examples: bool = False
    attempts: int = 0
    styles: Sequence[str] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    findings: Sequence[str] = ()
    source: str = field(default="", repr=False)

    @property
    def right(self) -> bool:
        """Whether all examples pass: those that nobody saw, and those of the prompt."""
        return self.hidden and self.examples

    def with_spent(self, kept: Sequence[Kept]) -> Outcome:
        """Add what the answers took."""
        return replace(
            self,
            attempts=len(kept),
            prompt_tokens=sum(one.prompt_tokens for one in kept),
            completion_tokens=sum(one.completion_tokens for one in kept),
            seconds=round(sum(one.seconds for one in kept), 1),
        )


async def one_call(task: Task, connector: BaseLLMConnector, settings: Settings) -> Outcome:
    """Ask once, greedily, in the chat whose start is given, and take what comes."""
    kept: list[Kept] = []
    answers.set(kept)
    wire = build_request(
        name=task.name,
        prompt=task.prompt,
        capabilities=connector.capabilities,
        plan=AttemptPlan("chat", 0.0, 0),
        templates=settings.templates,
    )
    response = await connector.complete(wire.messages, **wire.options)
    try:
        source = extract_module(response.content, finish_reason=response.finish_reason)
    except (LLMOutputError, VerificationError) as error:
        return Outcome(findings=(str(error),), styles=("chat",)).with_spent(kept)
    verdict = await check(source, task, parse_examples(task.prompt), settings)
    return Outcome(
        hidden=await passes_hidden(source, task, settings),
        stored=True,
        examples=verdict.proof == "passed",
        styles=("chat",),
        findings=verdict.findings,
        source=source,
    ).with_spent(kept)


async def pipeline(task: Task, settings: Settings, session: Session) -> Outcome:
    """Take the road of a cell, and judge the version that lies in the store afterwards."""
    kept: list[Kept] = []
    answers.set(kept)
    styles: list[str] = []
    findings: Sequence[str] = ()
    stored = None
    request = ModuleRequest(name=task.name, prompt=task.prompt, settings=settings)
    try:
        async for event in write(request, session):
            if isinstance(event, Started):
                styles.append(event.style)
            elif isinstance(event, Checked):
                findings = event.verdict.findings
            elif isinstance(event, Stored):
                stored = event.version
    except (LLMOutputError, MissingPackageError, VerificationError) as error:
        findings = findings or (str(error),)
    if stored is None:
        versions = await asyncio.to_thread(session.store(settings).versions, task.name)
        # One that needs a package is stored, and cannot be registered.
        assert all((version.verdict or {}).get("missing") for version in versions)
        return Outcome(styles=tuple(styles), findings=findings).with_spent(kept)
    again = await check(stored.source, task, parse_examples(task.prompt), settings)
    return Outcome(
        hidden=await passes_hidden(stored.source, task, settings),
        stored=True,
        examples=again.proof == "passed",
        styles=tuple(styles),
        findings=findings,
        source=stored.source,
    ).with_spent(kept)
