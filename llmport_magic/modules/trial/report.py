"""What a trial came to, in words: one line for the cell, findings for the model, verdicts.

The child's report is the word of a process in which the candidate ran: types, names and numbers
are taken from it, and only as such. A finding may go to a provider, so it holds nothing that
`words.py` lets not pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmport_magic.modules.comparison import Observation, compare, one_line
from llmport_magic.modules.outside import kept_away, memory_told
from llmport_magic.modules.sandbox.job import SandboxResult
from llmport_magic.modules.trial.samples import Samples, Subject, Trying
from llmport_magic.modules.trial.words import (
    Words,
    columns_line,
    invented_column,
    printable,
)
from llmport_magic.modules.verdict import ExampleOutcome
from llmport_magic.secrets import redact

_MOST_TOLD = 3
_MOST_SEEN = 600
_LONG_SECONDS = 10.0
# Of the sandbox's time, what a call must have had before it counts as one that never ends.
_FAIR_SHARE = 0.25
_LEAST_SECONDS = 0.05
# What a sample may lack and the whole have.
_OF_THE_SAMPLE = frozenset({"IndexError", "KeyError", "StopIteration", "ZeroDivisionError"})
_UNDEFINED = re.compile(r"\Aname '(\w+)' is not defined\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a trial came to.

    Attributes:
        line: what the cell shows.
        findings: what is wrong with the code, without a value of the data.
        outcomes: what came of the examples that ran on the copies, by their number.
        seen: what the exceptions said, for the user's eyes only.
    """

    line: str
    findings: tuple[str, ...] = ()
    outcomes: Mapping[int, ExampleOutcome] = field(default_factory=dict)
    seen: str = ""


@dataclass(frozen=True, slots=True)
class _Error:
    """An exception of the child's."""

    names: tuple[str, ...]
    message: str
    line: int
    own: bool
    package: str
    missing: str

    @classmethod
    def read(cls, data: Mapping[str, Any], lines: int) -> _Error:
        line = data["line"]
        return cls(
            names=(str(data["error"]), *map(str, data["bases"])),
            message=str(data["message"]),
            line=line if isinstance(line, int) and 0 < line <= lines else 0,
            own=bool(data["own"]),
            package=str(data["package"]),
            missing=str(data["missing"] or ""),
        )


class Report:
    """Reads what the child saw and says what it means.

    Args:
        subject: the code that was tried.
        trying: what it was tried on.
        samples: the copies.
    """

    def __init__(self, subject: Subject, trying: Trying, samples: Samples) -> None:
        self._subject = subject
        self._trying = trying
        self._samples = samples
        self._lines = subject.source.splitlines()
        self._words = Words([subject.source, trying.prompt, trying.context])
        self._findings: list[str] = []
        self._notes: list[str] = []
        self._seen: list[str] = []
        self._outcomes: dict[int, ExampleOutcome] = {}

    def read(self, result: SandboxResult | str) -> Tried:
        """Say what came of it."""
        if isinstance(result, str):
            return self._not_tried(result or self._not_copied())
        try:
            line = self._read(result)
        except (KeyError, TypeError, ValueError, AttributeError):
            # Only a candidate that took the process over sends such a report.
            return self._not_tried("what the trial told cannot be read")
        return Tried(
            line=one_line(line, 400),
            findings=tuple(self._findings),
            outcomes=self._outcomes,
            seen=redact(printable(one_line("; ".join(self._seen), _MOST_SEEN))),
        )

    def _not_tried(self, why: str) -> Tried:
        return Tried(line=f"not tried: {why}")

    def _not_copied(self) -> str:
        told = [f"`{name}` cannot be copied ({why})" for name, why in self._samples.left.items()]
        return "; ".join(told) or "there is nothing to try it on"

    def _read(self, result: SandboxResult) -> str:
        if result.status == "unavailable":
            return f"not tried: {result.error}"
        if result.trial is None:
            return self._not_ended(result)
        seen = result.trial
        unreadable = {str(name): str(error) for name, error in seen["unreadable"].items()}
        steps = [dict(step) for step in seen["steps"]]
        for step in steps:
            self._judge(step)
        told = [
            f"`{name}` cannot be read in the sandbox ({self._words.error([error])})"
            for name, error in unreadable.items()
            if any(sample.name == name for sample in self._samples.taken)
        ]
        told += [f"`{name}` not copied ({why})" for name, why in self._samples.left.items()]
        if not steps:
            names = ", ".join(f"`{sample.name}`" for sample in self._samples.taken)
            return f"not tried: {'; '.join(told) or f'no function takes {names}'}"
        if seen["late"]:
            told.append("not all of it: the time of the check was up")
        more = int(seen["more"])
        told += [f"{more} more functions not tried"] if more > 0 else []
        return self._line(steps, [*self._notes, *told])

    def _not_ended(self, result: SandboxResult) -> str:
        """Say that the process did not come to its end: the module had imported before."""
        where = "in the trial on a copy"
        if result.failure is not None:
            error = self._words.error([result.failure.error])
            number = result.failure.line or 0
            line = f"line {number}: " if 0 < number <= len(self._lines) else ""
            message = self._words.redacted(result.failure.message)
            self._findings.append(f"{line}{where} it does not import: {error}: {message}")
        else:
            self._findings.append(f"{where}: {result.error} ({self._on()})")
        return f"tried on {self._on()}: {result.error or 'it does not import'}"

    # -- one step ----------------------------------------------------------------------------------

    def _judge(self, step: dict[str, Any]) -> None:
        what = self._what(step)
        error = None
        if step["error"] is not None:
            error = _Error.read(step["error"], len(self._lines))
            step["told"] = self._failed(what, error, step)
        index = step.get("number")
        if isinstance(index, int) and index in self._subject.tried:
            self._outcomes[index] = self._outcome(index, step, error)

    def _what(self, step: Mapping[str, Any]) -> str:
        """Name what was run, in words that the child cannot choose."""
        if self._subject.name is None:
            return "the cell"
        index = step.get("number")
        if isinstance(index, int):
            return one_line(self._subject.examples[index].source, 80)
        text = str(step["what"])
        # A function may give another one a name that holds what it saw.
        name, _, given = text.removesuffix(")").partition("(")
        copies = {sample.name for sample in self._samples.taken}
        is_call = self._words.knows(name) and set(given.split(", ")) <= copies
        return text if is_call else "a function"

    def _failed(self, what: str, error: _Error, step: Mapping[str, Any]) -> str:
        """Find whose fault an exception is; gives what the line says of it."""
        kind = self._words.error(error.names)
        where = f" at line {error.line}" if error.line else ""
        if "TimeIsUpError" in error.names:
            most = self._subject.settings.sandbox_seconds
            seconds = min(float(step["seconds"]), most)
            told = f"{what} was not done after {seconds:.0f} s on {self._on()}"
            if seconds < _FAIR_SHARE * most:
                # Imports, or a machine that is busy, had taken most of the time.
                return f"{told}: the time of the check was up"
            self._found(told, error)
            return told
        if why := self._not_its_fault(error):
            return f"{what} not tried to its end: {why}"
        if error.message:
            self._seen.append(f"{kind}: {error.message}")
        frames = self._frames()
        invented = None
        if frames and (error.package in {"pandas", "polars"} or error.names[0] == "AttributeError"):
            invented = invented_column(kind, error.message, self._subject.source, frames)
        if invented is not None:
            self._found(columns_line(invented, frames), error)
        elif isinstance(step.get("number"), int):
            # The comparison of the example says it, and whether it shall raise.
            pass
        elif step.get("certain", True) and not self._may_be_the_sample(error):
            message = self._words.redacted(error.message)
            text = f"{what}, tried on a copy, raised {kind}" + (f": {message}" if message else "")
            text += memory_told(error.names, self._subject.settings.sandbox_memory_mb)
            self._found(text + self._code(error.line), error)
        else:
            part = ": the whole may differ" if self._may_be_the_sample(error) else ""
            return f"{what} raised {kind}{where}{part}"
        return f"{what} raised {kind}{where}"

    def _found(self, text: str, error: _Error) -> None:
        where = f"line {error.line}: " if error.line else ""
        finding = f"{where}{text}"
        if finding not in self._findings:
            self._findings.append(finding)

    def _code(self, line: int) -> str:
        code = self._lines[line - 1].strip() if line else ""
        return f" (in `{one_line(code, 100)}`)" if code else ""

    def _not_its_fault(self, error: _Error) -> str:
        """Say what this environment lacks, where that is why it failed."""
        names = set(error.names)
        if why := kept_away(names, self._subject.labels):
            return why
        if "MemoryError" in names and not error.own:
            return "it needs more memory than `sandbox_memory_mb` allows"
        missing = error.missing.partition(".")[0]
        if "ModuleNotFoundError" in names and self._words.knows(missing):
            return f"it needs `{missing}`, which is not installed"
        undefined = _UNDEFINED.match(error.message) if "NameError" in names else None
        if undefined is not None:
            name = undefined[1]
            if name in self._samples.left:
                return f"`{name}` cannot be copied ({self._samples.left[name]})"
            if self._subject.name is None and name in self._trying.user_names:
                return f"it uses `{name}`, which only the notebook has"
        return ""

    def _may_be_the_sample(self, error: _Error) -> bool:
        part = any(sample.is_part for sample in self._samples.taken)
        return part and bool(_OF_THE_SAMPLE & set(error.names))

    def _frames(self) -> dict[str, Sequence[str]]:
        """Give the columns of each table, as far as they were sent."""
        sent = Words([self._trying.context])
        return {
            sample.name: [column for column in sample.columns if sent.knows(column)]
            for sample in self._samples.taken
            if sample.columns
        }

    # -- examples ----------------------------------------------------------------------------------

    def _outcome(self, index: int, step: Mapping[str, Any], error: _Error | None) -> ExampleOutcome:
        example = self._subject.examples[index]
        outcome = ExampleOutcome(
            source=example.source, line=example.line, expected=example.raises or example.expected
        )
        if error is not None and (why := self._not_its_fault(error)):
            return ExampleOutcome(**{**_fields(outcome), "reason": why})
        value = step["value"]
        compared = compare(
            example,
            Observation(
                value=None if value is None else str(value),
                printed=str(step["printed"]),
                error="" if error is None else self._words.error(error.names),
                message="" if error is None else error.message,
                bases=() if error is None else error.names,
            ),
        )
        got = self._words.redacted(compared.got)
        if error is not None:
            said = self._words.redacted(error.message)
            got = f"raised {self._words.error(error.names)}" + (f": {said}" if said else "")
            got += memory_told(error.names, self._subject.settings.sandbox_memory_mb)
        if compared.passed:
            return ExampleOutcome(**{**_fields(outcome), "status": "passed", "got": got})
        if error is None:
            self._seen.append(f"{one_line(example.source, 60)} gave {compared.got}")
        if any(sample.is_part for sample in self._samples.taken) and (
            error is None or self._may_be_the_sample(error)
        ):
            reason = f"it differs on {self._on()}: the whole may not"
            self._notes.append(f"{one_line(example.source, 60)} differs on the sample")
            unproven = {"status": "not proven", "got": got, "reason": reason}
            return ExampleOutcome(**{**_fields(outcome), **unproven})
        return ExampleOutcome(**{**_fields(outcome), "status": "failed", "got": got})

    # -- the line ----------------------------------------------------------------------------------

    def _on(self) -> str:
        """Say on how much of the data it was tried."""
        taken = [sample for sample in self._samples.taken if sample.rows is not None]
        if not taken:
            names = ", ".join(f"`{sample.name}`" for sample in self._samples.taken)
            return f"a copy of {names}"
        told = [sample.amount for sample in taken]
        if len(taken) == 1:
            return told[0]
        return " and ".join(
            f"{text} of {sample.name}" for text, sample in zip(told, taken, strict=True)
        )

    def _line(self, steps: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> str:
        seconds = sum(float(step["seconds"]) for step in steps)
        time = f"{seconds:.1f} s" if seconds >= _LEAST_SECONDS else "under 0.1 s"
        given = ", ".join(f"{sample.name} {sample.shape}" for sample in self._samples.taken)
        parts = [part for step in steps for part in self._gave(step)]
        told = ", ".join(parts[:_MOST_TOLD])
        if len(parts) > _MOST_TOLD:
            told += f" and {len(parts) - _MOST_TOLD} more"
        line = f"tried on {self._on()}: {time}; {given} -> {told or 'nothing new'}"
        return "; ".join([line, *self._changes(steps), *self._how_long(steps), *notes])

    def _gave(self, step: Mapping[str, Any]) -> list[str]:
        if step["error"] is not None:
            return [str(step["told"])]
        if self._subject.name is not None:
            nothing = isinstance(step.get("number"), int) and step["result"] is None
            return [] if nothing else [f"{self._what(step)} {self._words.size(step['result'])}"]
        named = [f"{self._name(name)} {self._words.size(size)}" for name, size in step["new"]]
        shown = step["result"]
        return [*named, *([] if shown is None else [f"shows {self._words.size(shown)}"])]

    def _name(self, new: Any) -> str:
        return str(new) if self._words.knows(str(new)) else "something"

    def _changes(self, steps: Sequence[Mapping[str, Any]]) -> list[str]:
        """Say of each variable whether its copy was changed."""
        found: dict[str, list[str]] = {}
        known = {sample.name for sample in self._samples.taken}
        for step in steps:
            for name, change in step["changed"].items():
                if name in known:
                    found.setdefault(name, []).append(str(change))
        told = []
        for name, changes in found.items():
            real = [each for each in changes if each and each != "not compared"]
            if not real:
                told.append(f"{name} {'not compared' if any(changes) else 'unchanged'}")
            elif self._subject.name is None:
                told.append(f"{name} changed ({self._words.change(real[0])})")
            else:
                told.append(f"{name} changed in place ({self._words.change(real[0])})")
        return told

    def _how_long(self, steps: Sequence[Mapping[str, Any]]) -> list[str]:
        """Say how long the whole would take, where that is long and something is known of it."""
        taken = [sample for sample in self._samples.taken if sample.is_part]
        if len(taken) != 1 or not taken[0].rows or not taken[0].of:
            return []
        rows, whole = taken[0].rows, taken[0].of
        told = []
        for step in steps:
            if not step.get("again"):
                continue
            seconds, tenth = map(float, step["again"])
            for_each = max(0.0, seconds - tenth) / (0.9 * rows)
            all_of_it = seconds + for_each * (whole - rows)
            if all_of_it > _LONG_SECONDS:
                told.append(
                    f"{seconds:.1g} s for {rows:,} of {whole:,} rows: about "
                    f"{_duration(all_of_it)} for all if linear"
                )
        return told[:1]


def _fields(outcome: ExampleOutcome) -> dict[str, Any]:
    return {name: getattr(outcome, name) for name in ExampleOutcome.__slots__}


def _duration(seconds: float) -> str:
    if seconds < 90:  # above, minutes read better
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.0f} h"
