"""How often a small model's specification of an agent is valid, runs, and is what was asked for.

    python benchmarks/gmn/run.py large [--half tuning] [--slots 1] [--threads 2]

Each sentence takes the road of a cell with `%%gmn`, with the default settings; answers are kept in
`.benchmarks/gmn.jsonl`, so that a run that was interrupted goes on where it stopped. Limits of time
are off: on a busy machine they would decide results. Writes `results/SIZE.json` and
`results/SIZE.md`, for one half `SIZE-HALF`; see docs/gmn-quality.md.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "quality"))

from figures import wilson
from measuring import Measurement, each_size, measured, options_of
from record import Kept, answers
from sentence import STEPS, Sentence, fingerprint, load, missing, runs

from llmport_magic.errors import GMNError, LLMOutputError, VerificationError
from llmport_magic.gmn.writing.prompting import Wish
from llmport_magic.pipeline import write
from llmport_magic.progress import Checked, ModuleRequest, Stored
from llmport_magic.session import Session
from llmport_magic.settings import Settings

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one sentence.

    Attributes:
        half: of the sentences.
        name: of the sentence.
        runs: whether there is a valid specification whose agent takes ten steps.
        holds: whether it also has the plain facts that the sentence names.
        missing: those that it does not have, and what it has instead.
        tries: how many answers were asked for.
        prompt_tokens: what the model read in all.
        completion_tokens: what it wrote in all.
        seconds: how long it took for that.
        findings: what was wrong with each answer that was not used.
        warnings: what was mended in the one that was, and what else is worth a word.
        answers: the answers as they came.
        text: the specification.
    """

    half: str
    name: str
    runs: bool = False
    holds: bool = False
    missing: Sequence[str] = ()
    tries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    findings: Sequence[Sequence[str]] = ()
    warnings: Sequence[str] = ()
    answers: Sequence[str] = field(default=(), repr=False)
    text: str = field(default="", repr=False)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    what = "Measure how often specifications are valid."
    parser = options_of(what, HERE, halves=["tuning", "unseen"], slots=1, threads=2)
    parser.add_argument("--names", nargs="*", help="only these sentences")
    return parser.parse_args()


async def ask(one: Sentence, settings: Settings, session: Session) -> Outcome:
    """Take the road of a cell, and judge the version that lies in the store afterwards."""
    kept: list[Kept] = []
    answers.set(kept)
    findings: list[Sequence[str]] = []
    warnings: Sequence[str] = ()
    text = ""
    request = ModuleRequest(
        name=one.name,
        purpose="specification",
        prompt=one.sentence,
        settings=settings,
        wish=Wish.of(one.sentence, one.type),
    )
    try:
        async for event in write(request, session):
            if isinstance(event, Checked):
                if event.verdict.proof == "failed":
                    findings.append(event.verdict.findings)
                else:
                    warnings = event.verdict.findings
            elif isinstance(event, Stored):
                text = event.version.source
    except (GMNError, LLMOutputError, VerificationError) as error:
        findings = findings or [[str(error)]]
    lacks: list[str] = []
    if text:
        # What is stored but does not run ends the measurement: it must not happen.
        lacks = missing(await asyncio.to_thread(runs, text), one.holds)
    return Outcome(
        half=one.half,
        name=one.name,
        runs=bool(text),
        holds=bool(text) and not lacks,
        missing=lacks,
        tries=len(kept),
        prompt_tokens=sum(each.prompt_tokens for each in kept),
        completion_tokens=sum(each.completion_tokens for each in kept),
        seconds=round(sum(each.seconds for each in kept), 1),
        findings=findings,
        warnings=warnings,
        answers=[each.content for each in kept],
        text=text,
    )


async def measure(size: str, sentences: Sequence[Sentence], options: argparse.Namespace) -> None:
    """Measure one model and write down what came of it."""
    free = asyncio.Semaphore(options.slots)
    with measured(size, options) as run:

        async def one(sentence: Sentence) -> Outcome:
            async with free:
                outcome = await ask(sentence, run.settings, run.session)
            mark = "+" if outcome.holds else "o" if outcome.runs else "-"
            print(f"{mark} {outcome.name:20} {outcome.tries} tries", *outcome.missing, flush=True)
            return outcome

        outcomes = await asyncio.gather(*(one(each) for each in sentences))
    write_down(run, outcomes)


def write_down(run: Measurement, outcomes: Sequence[Outcome]) -> None:
    """Write the results as data and as text, and print them."""
    counted = {"sentences": len(outcomes), "sentences_fingerprint": fingerprint()}
    facts = run.facts(counted, {"steps of each agent": STEPS})
    name = f"{run.size}-{run.options.half}" if run.options.half else run.size
    data = [asdict(outcome) for outcome in outcomes]
    run.write(name, facts, data, table(outcomes), *map(told, outcomes))


def table(outcomes: Sequence[Outcome]) -> str:
    """Give a line of figures for each half."""
    lines = [
        "| | valid and running | rate (95 %) | as asked | tries | tokens written | tokens read |",
        "|---|---|---|---|---|---|---|",
    ]
    for half in ("tuning", "unseen"):
        those = [each for each in outcomes if each.half == half]
        if not those:
            continue
        valid = sum(each.runs for each in those)
        low, high = wilson(valid, len(those))
        cells = [
            half,
            f"{valid} of {len(those)}",
            f"{valid / len(those):.0%} ({low:.0%} to {high:.0%})",
            f"{sum(each.holds for each in those)} of {len(those)}",
            f"{statistics.mean(each.tries for each in those):.2f}",
            f"{statistics.mean(each.completion_tokens for each in those):.0f}",
            f"{statistics.mean(each.prompt_tokens for each in those):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def told(outcome: Outcome) -> str:
    """Tell what came of one sentence."""
    verdict = "valid and running" if outcome.runs else "not valid"
    said = f"{verdict}, {outcome.tries} tries, {outcome.completion_tokens} tokens written"
    lines = [f"## {outcome.name}", "", said]
    if outcome.missing:
        lines += ["", f"Asked for {'; '.join(outcome.missing)}."]
    for number, findings in enumerate(outcome.findings, start=1):
        lines += ["", f"Wrong with answer {number}:", "", *(f"- {each}" for each in findings)]
    if outcome.warnings:
        lines += ["", "Warnings:", "", *(f"- {each}" for each in outcome.warnings)]
    shown = outcome.text or (outcome.answers[-1] if outcome.answers else "")
    return "\n".join([*lines, "", "```", shown.strip().strip("`"), "```"])


def main() -> None:
    """Measure the models that were asked for, one after the other."""
    options = arguments()
    sentences = [
        each
        for each in load()
        if options.half in (None, each.half) and (not options.names or each.name in options.names)
    ]
    each_size(options, lambda size: measure(size, sentences, options))


if __name__ == "__main__":
    main()
