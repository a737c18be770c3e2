"""Runs a trial in the sandbox, in a process of its own, and adds to the verdict what came of it."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Any

from llmport_magic.modules.examples import bound_names, loaded_names
from llmport_magic.modules.sandbox import sandboxing
from llmport_magic.modules.sandbox.job import SandboxJob, SandboxResult
from llmport_magic.modules.trial.report import Report
from llmport_magic.modules.trial.samples import Samples, Subject, Trying
from llmport_magic.modules.verdict import Verdict

# The child ends a call that hangs before the sandbox ends the child: it can say in which line.
_OWN_SHARE = 0.9
_CELL_NAME = "notebook_cell"


async def with_trial(verdict: Verdict, subject: Subject, trying: Trying) -> Verdict:
    """Try the code and add what came of it: what failed is the code's to mend, as in an example."""
    samples, result = await _run(subject, trying)
    tried = Report(subject, trying, samples).read(result)
    examples = tuple(
        tried.outcomes.get(number, example) for number, example in enumerate(verdict.examples)
    )
    failed = [each.finding() for each in tried.outcomes.values() if each.status == "failed"]
    findings = (*failed, *tried.findings)
    proof = verdict.proof
    if findings:
        proof = "failed"
    elif proof == "unverified" and any(each.status == "passed" for each in examples):
        proof = "passed"
    return replace(
        verdict,
        proof=proof,
        findings=(*findings, *verdict.findings),
        examples=examples,
        tried=tried.line,
        seen=tried.seen,
    )


async def _run(subject: Subject, trying: Trying) -> tuple[Samples, SandboxResult | str]:
    """Run the code on the copies; gives what was seen, or why nothing was run."""
    samples = await trying.samples()
    if not samples.taken:
        return samples, ""
    if subject.must_be_confined and not sandboxing.confines(sandboxing.level()):
        acts = ", ".join(subject.labels) or "what needs your consent"
        return samples, f"the code can use {acts}, and this system cannot confine it"
    result = await sandboxing.run(_job(subject, trying, samples))
    return samples, result


def _job(subject: Subject, trying: Trying, samples: Samples) -> SandboxJob:
    settings, is_cell = subject.settings, subject.name is None
    files = {f"llmport-copy-{n}": sample.data for n, sample in enumerate(samples.taken)}
    trial: dict[str, Any] = {
        "variables": [
            {"name": sample.name, "file": file, "rows": sample.rows, "of": sample.of}
            for file, sample in zip(files, samples.taken, strict=True)
        ],
        "until": time.monotonic() + _OWN_SHARE * settings.sandbox_seconds,
        "cell": subject.source if is_cell else None,
        "modules": dict(samples.modules),
        "examples": _with_what_they_need(subject),
        "prompt": trying.prompt,
    }
    return SandboxJob(
        source="" if is_cell else subject.source,
        module_name=subject.name or _CELL_NAME,
        search_path=tuple(sys.path),
        module_dir=subject.module_dir,
        **sandboxing.limits(settings),
        fixed_names=subject.fixed_names,
        confined=subject.must_be_confined,
        files=files,
        trial=trial,
    )


def _with_what_they_need(subject: Subject) -> list[tuple[int, str]]:
    """Give the examples on copies, and before them those that bind what they use."""
    needed: set[str] = set()
    chosen: list[tuple[int, str]] = []
    for number in reversed(range(len(subject.examples))):
        example = subject.examples[number]
        binds = bound_names(example.source)
        if example.needs_io or not (number in subject.tried or binds & needed):
            continue
        needed |= loaded_names(example.source)
        chosen.append((number, example.source))
    return chosen[::-1]
