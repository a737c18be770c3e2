"""Whether a candidate is a module to keep: gate, policy, imports, sandbox, examples, trial.

Safety says what the code would do; proof says what the examples say. What this environment lacks
is told apart from what the code does wrong: only the latter is a model's to mend.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from llmport_magic.errors import VerificationError
from llmport_magic.modules.comparison import Observation, compare, one_line
from llmport_magic.modules.examples import Example, bound_names, loaded_names
from llmport_magic.modules.gate import check_text, parse_module
from llmport_magic.modules.outside import kept_away, memory_told
from llmport_magic.modules.packages import (
    MissingImport,
    distribution_for,
    full_name,
    is_installed,
    missing_imports,
    shares_a_namespace,
)
from llmport_magic.modules.policy.review import PolicyReport, assess
from llmport_magic.modules.sandbox import sandboxing
from llmport_magic.modules.sandbox.job import ImportFailure, SandboxJob, SandboxResult
from llmport_magic.modules.trial.running import with_trial
from llmport_magic.modules.trial.samples import Subject, Trying, examples_on_copies
from llmport_magic.modules.verdict import NEEDS, ExampleOutcome, Safety, Verdict
from llmport_magic.settings import Settings

__all__ = ["ExampleOutcome", "Verdict", "check_plain", "verify"]

_ON_COPIES = "it needs a variable of the notebook"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """What is checked, and what the checks before the sandbox said."""

    source: str
    name: str
    examples: tuple[Example, ...]
    settings: Settings
    module_dir: Path | None = None
    consent: bool = False
    fixed_names: Mapping[str, str] = field(default_factory=dict)
    own_names: Collection[str] = ()
    on_copies: frozenset[int] = frozenset()
    begun: float = 0.0


async def verify(
    source: str,
    *,
    module_name: str,
    examples: Sequence[Example] = (),
    settings: Settings,
    module_dir: Path | None = None,
    consent: bool = False,
    fixed_names: Mapping[str, str] | None = None,
    own_names: Collection[str] = (),
    variables: Collection[str] = (),
    trying: Trying | None = None,
) -> Verdict:
    """Check a candidate; never raises for what is wrong with it.

    Args:
        source: the module's text.
        module_name: its name.
        examples: the examples that it has to pass.
        settings: limits of the sandbox, and whether the user trusts everything.
        module_dir: where the user's other modules lie.
        consent: whether the user has allowed what the policy asks about.
        fixed_names: names that the examples know, with the text of their literal values.
        own_names: modules that can be imported without a file on the path.
        variables: the notebook's variables that the examples may use; such examples run on
            copies only.
        trying: the copies on which the candidate is tried; without it nothing is.
    """
    candidate = _Candidate(
        source=source,
        name=module_name,
        examples=tuple(examples),
        settings=settings,
        module_dir=module_dir,
        consent=consent or settings.trust == "always",
        fixed_names=fixed_names or {},
        own_names=own_names,
        on_copies=examples_on_copies(examples, variables),
        begun=time.monotonic(),
    )
    verdict = await asyncio.to_thread(_before_running, candidate)
    if verdict.proof == "unverified" and not verdict.missing and _may_run(verdict, candidate):
        verdict = await _run(candidate, verdict)
        ran = not verdict.environment and not verdict.broken and verdict.level != "static only"
        if trying is not None and ran:
            verdict = await _try(candidate, verdict, trying)
    return replace(verdict, seconds=round(time.monotonic() - candidate.begun, 4))


async def check_plain(
    source: str,
    settings: Settings,
    *,
    trying: Trying | None = None,
    module_dir: Path | None = None,
) -> Verdict:
    """Check the code of a plain cell, which the user runs: it is read, and tried on copies.

    Args:
        source: the code.
        settings: the limits of the trial.
        trying: the copies; without them the code is only read.
        module_dir: where the user's modules lie.
    """
    verdict, report = await asyncio.to_thread(_read_plain, source)
    if trying is None or report is None or verdict.safety == "refuse" or verdict.missing:
        return verdict
    refused = [found for found in report.findings if found.severity == "refuse"]
    if refused:
        why = str(refused[0]).removesuffix(" when imported")
        return replace(verdict, tried=f"not tried: {why}")
    subject = Subject(
        source=source,
        name=None,
        labels=verdict.labels,
        settings=settings,
        module_dir=module_dir,
        acts=bool(report.findings),
    )
    return await with_trial(verdict, subject, trying)


def _read_plain(source: str) -> tuple[Verdict, PolicyReport | None]:
    try:
        parse_module(source)
    except VerificationError as error:
        return _unreadable(source, error), None
    report = assess(source)
    lasting = [found for found in report.findings if not found.at_import]
    safety: Safety = "clean"
    if lasting:
        safety = "refuse" if any(f.severity == "refuse" for f in lasting) else "ask"
    missing = missing_imports(source)
    findings = [*map(str, lasting), *(item.message for item in missing)]
    verdict = Verdict(
        safety=safety,
        proof="unverified",
        findings=tuple(findings),
        labels=report.labels,
        environment=bool(missing),
    )
    return verdict, report


# -- before running --------------------------------------------------------------------------------


def _unreadable(source: str, error: VerificationError) -> Verdict:
    safety: Safety = "refuse" if check_text(source) else "clean"
    return Verdict(safety=safety, proof="failed", findings=error.findings, broken=True)


def _before_running(candidate: _Candidate) -> Verdict:
    """Check what can be told from the text; `unverified` is what may go on."""
    try:
        parse_module(candidate.source)
    except VerificationError as error:
        return _unreadable(candidate.source, error)
    report = assess(candidate.source)
    path = [str(candidate.module_dir)] if candidate.module_dir else []
    absent = missing_imports(
        candidate.source, search_path=path, own_names={candidate.name, *candidate.own_names}
    )
    missing = tuple(item for item in absent if not item.deferred)
    labels = [*report.labels, *(f"{NEEDS}{item.name}" for item in absent if item.deferred)]
    return Verdict(
        safety=report.outcome,
        proof="unverified",
        findings=(*(item.message for item in missing), *map(str, report.findings)),
        examples=tuple(
            _not_run(example, "the module was not run") for example in candidate.examples
        ),
        labels=tuple(labels),
        missing=missing,
        environment=bool(missing),
    )


def _may_run(verdict: Verdict, candidate: _Candidate) -> bool:
    """Tell whether the code may run: effects at import only where they are held, or allowed."""
    if verdict.safety == "refuse":
        return False
    if candidate.consent or verdict.safety == "clean":
        return True
    return sandboxing.confines(sandboxing.level()) or not _acts_at_import(assess(candidate.source))


def _acts_at_import(report: PolicyReport) -> bool:
    return any(found.at_import for found in report.findings)


def _not_run(example: Example, reason: str) -> ExampleOutcome:
    return ExampleOutcome(
        source=example.source,
        line=example.line,
        expected=example.raises or example.expected,
        reason=reason,
    )


# -- running ---------------------------------------------------------------------------------------


async def _run(candidate: _Candidate, before: Verdict) -> Verdict:
    settings = candidate.settings
    skipped = _skipped(candidate.examples, candidate.on_copies)
    result = await sandboxing.run(
        SandboxJob(
            source=candidate.source,
            module_name=candidate.name,
            examples=[
                (number, example.source)
                for number, example in enumerate(candidate.examples)
                if number not in skipped
            ],
            search_path=tuple(sys.path),
            module_dir=candidate.module_dir,
            **sandboxing.limits(settings),
            fixed_names=candidate.fixed_names,
            confined=not candidate.consent and _acts_at_import(assess(candidate.source)),
        )
    )
    if result.status == "unavailable":
        # What may not run in the sandbox is not to run in the notebook either, unasked.
        held = result.too_weak and not candidate.consent and before.safety == "clean"
        safety: Safety = "ask" if held else before.safety
        found = (*before.findings, result.error)
        return replace(before, safety=safety, findings=found, environment=True)
    before = replace(before, level=result.level)
    if result.failure is not None:
        return _not_imported(candidate, before, result.failure)
    return _judged(candidate, before, result, skipped)


def _skipped(examples: Sequence[Example], on_copies: Collection[int]) -> dict[int, str]:
    """Find the examples that are not run, and those that need what these would have made."""
    skipped: dict[int, str] = {}
    lost: set[str] = set()
    for number, example in enumerate(examples):
        names = bound_names(example.source)
        if example.needs_io:
            skipped[number] = "it reads, writes, asks or connects"
        elif number in on_copies:
            skipped[number] = _ON_COPIES
        elif lost & loaded_names(example.source):
            skipped[number] = "it needs an example that was not run"
        else:
            lost -= names
            continue
        lost |= names
    return skipped


def _not_imported(candidate: _Candidate, before: Verdict, failure: ImportFailure) -> Verdict:
    where = f"line {failure.line}: " if failure.line else ""
    text = f"{where}{failure.error}: {failure.message}".rstrip(": ")
    missing = _missing(candidate, failure.error, failure.missing, failure.line or 0)
    if missing is not None:
        return replace(
            before, findings=(missing.message,), missing=(missing,), environment=True, broken=True
        )
    asked = {found.rule for found in assess(candidate.source).findings if found.at_import}
    if why := kept_away(failure.bases, asked):
        text = f"{where}not run to its end: {why} when imported"
        return replace(before, findings=(text, *before.findings), environment=True)
    if failure.error == "SystemExit":
        # Consent would not help: no kernel can import such a module, either.
        text = f"{where}it ends Python when imported"
    text += memory_told(failure.bases, candidate.settings.sandbox_memory_mb)
    unmapped = "failed to map segment" in failure.message
    if not failure.own and (unmapped or failure.error == "MemoryError"):
        text = f"{where}a package needs more memory than `sandbox_memory_mb` allows"
        return replace(before, findings=(text,), environment=True)
    blamed = not failure.own and failure.error in {"ImportError", "OSError"}
    if blamed and not failure.message.startswith("cannot import name"):
        text = f"{where}an installed package does not import: {failure.message}"
        return replace(before, findings=(one_line(text, 300),), environment=True, broken=True)
    return replace(
        before, proof="failed", findings=(one_line(text, 300), *before.findings), broken=True
    )


def _missing(
    candidate: _Candidate, error: str, name: str | None, line: int
) -> MissingImport | None:
    """Give the package that an import error is about, where it is one that is not installed."""
    if error != "ModuleNotFoundError" or not name:
        return None
    path = [str(candidate.module_dir)] if candidate.module_dir else []
    if name == candidate.name:
        return None
    name = full_name(name, candidate.source)
    if is_installed(name, search_path=path) and not shares_a_namespace(name):
        return None
    return MissingImport(name, line, distribution_for(name))


def _judged(
    candidate: _Candidate, before: Verdict, result: SandboxResult, skipped: Mapping[int, str]
) -> Verdict:
    outcomes: list[ExampleOutcome] = []
    findings: list[str] = []
    missing: list[MissingImport] = []
    for number, example in enumerate(candidate.examples):
        seen = result.observations.get(number)
        if seen is None:
            outcomes.append(_unseen(example, number, result, skipped))
        else:
            outcome, lacking = _compared(candidate, example, seen)
            outcomes.append(outcome)
            missing += [lacking] if lacking else []
        if outcomes[-1].status == "failed":
            findings.append(outcomes[-1].finding())
    if result.status != "ok" and result.hung is None:
        stage = "after its examples" if result.observations else "when imported"
        findings.append(f"{stage}: {result.error}")
    ran = any(outcome.status == "passed" for outcome in outcomes)
    return replace(
        before,
        proof="failed" if findings else "passed" if ran else "unverified",
        findings=(*findings, *(item.message for item in missing), *before.findings),
        examples=tuple(outcomes),
        missing=tuple(missing) if not findings else (),
        environment=bool(missing) and not findings,
        broken=result.status != "ok" and result.hung is None and not result.observations,
    )


def _unseen(
    example: Example, number: int, result: SandboxResult, skipped: Mapping[int, str]
) -> ExampleOutcome:
    if number == result.hung:
        return replace(_not_run(example, ""), status="failed", got=result.error)
    if result.status == "timeout":
        return _not_run(example, "an earlier example did not finish")
    return _not_run(example, skipped.get(number, "the process had ended"))


def _compared(
    candidate: _Candidate, example: Example, seen: Observation
) -> tuple[ExampleOutcome, MissingImport | None]:
    compared = compare(example, seen)
    outcome = replace(
        _not_run(example, ""),
        status="passed" if compared.passed else "failed",
        got=compared.got,
    )
    if compared.passed or not seen.error:
        return outcome, None
    lacking = _missing(candidate, seen.error, seen.missing, 0)
    if lacking is not None:
        return replace(outcome, status="not run", reason=lacking.message), lacking
    if why := kept_away(seen.bases, assess(candidate.source).labels):
        return replace(outcome, status="not run", reason=why), None
    short = memory_told(seen.bases, candidate.settings.sandbox_memory_mb)
    return replace(outcome, got=outcome.got + short), None


# -- on copies of the user's data ------------------------------------------------------------------


async def _try(candidate: _Candidate, verdict: Verdict, trying: Trying) -> Verdict:
    subject = Subject(
        source=candidate.source,
        name=candidate.name,
        labels=verdict.labels,
        settings=candidate.settings,
        examples=candidate.examples,
        tried=candidate.on_copies,
        module_dir=candidate.module_dir,
        fixed_names=candidate.fixed_names,
    )
    return await with_trial(verdict, subject, trying)
