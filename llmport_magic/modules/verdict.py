"""What a check came to: two axes, the findings, and how it was found out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from llmport_magic.errors import StoreError
from llmport_magic.modules.comparison import one_line
from llmport_magic.modules.packages import MissingImport

Safety = Literal["clean", "ask", "refuse"]
Proof = Literal["passed", "failed", "unverified"]
Status = Literal["passed", "failed", "not proven", "not run"]
# Labels of packages that only a call needs begin with this.
NEEDS = "needs "


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleOutcome:
    """What came of one example.

    Attributes:
        source: its code.
        line: its line in the prompt.
        status: `passed`, `failed`, `not run`, or `not proven`, as it differs on a sample.
        expected: what it shall give.
        got: what it gave, in one line.
        reason: why it was not run, or is not proven.
    """

    source: str
    line: int = 0
    status: Status = "not run"
    expected: str = ""
    got: str = ""
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Tell whether nothing speaks against the code: it passed, or could not be run."""
        return self.status != "failed"

    @property
    def came(self) -> str:
        """What came of it, with its verb: `gave 0`, `raised NameError: …`."""
        verb = "" if self.got.startswith(("raised ", "did not ", "it ", "the ")) else "gave "
        return f"{verb}{self.got}"

    @property
    def wanted(self) -> str:
        """What it shall give, in one line."""
        return one_line(self.expected) or "no exception"

    def finding(self) -> str:
        """Say in one line what it gave and what it shall give."""
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{one_line(self.source, 80)} {self.came}, expected {self.wanted}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check came to.

    Attributes:
        safety: what the policy says.
        proof: what the examples say.
        findings: one line for each thing that is wrong or that the user should know.
        examples: what came of each example.
        level: what held the code while it ran.
        seconds: how long the check took.
        labels: what the code can do when it is called.
        missing: packages that the code needs and this environment does not have.
        environment: whether what failed is this environment's fault and not the code's.
        broken: whether the code does not even import.
        tried: what happened on a copy of the user's data, in one line.
        summary: what is said instead of what examples say: of a text that is no code.
        seen: what exceptions said there; it may hold that data, so it is shown and never kept.
    """

    safety: Safety
    proof: Proof
    findings: tuple[str, ...] = ()
    examples: tuple[ExampleOutcome, ...] = ()
    level: str = "static only"
    seconds: float = 0.0
    labels: tuple[str, ...] = ()
    missing: tuple[MissingImport, ...] = ()
    environment: bool = False
    broken: bool = False
    tried: str = ""
    summary: str = ""
    seen: str = field(default="", repr=False, compare=False)

    def line(self, *, allowed: bool = False, asks: str = "needs your consent") -> str:
        """Say it all in one line.

        Args:
            allowed: whether the user has consented already, where that is needed.
            asks: what is said where it was not given; nothing where it was said before.
        """
        if self.summary:
            return self.summary
        parts = [self._proof_text(), self.level]
        if self.safety == "ask":
            parts.append("allowed by you" if allowed else asks)
        elif self.safety == "refuse":
            parts.append("refused")
        uses = [label for label in self.labels if not label.startswith(NEEDS)]
        if uses:
            parts.append(f"can use: {', '.join(uses)}")
        parts += [f"{label} to be installed" for label in self.labels if label.startswith(NEEDS)]
        return " · ".join(filter(None, parts))

    def _proof_text(self) -> str:
        counts = Counter(example.status for example in self.examples)
        ran = counts["passed"] + counts["failed"]
        if self.missing:
            return f"not run: needs {', '.join(missing.name for missing in self.missing)}"
        if self.broken:
            return "does not import"
        if not self.examples:
            return "no examples" if self.level != "static only" else "not run"
        parts = [
            (ran, f"{counts['passed']} of {ran}", "passed"),
            (counts["not proven"], str(counts["not proven"]), "not proven (differs on the sample)"),
            (counts["not run"], str(counts["not run"]), "not run"),
        ]
        told = [(of, number, what) for of, number, what in parts if of]
        # The first of them says what is counted.
        first = f"{told[0][1]} example{'s' * (told[0][0] > 1)} {told[0][2]}"
        return ", ".join([first, *(f"{number} {what}" for _, number, what in told[1:])])

    def to_dict(self) -> dict[str, Any]:
        """Give the verdict as plain data, for the store and the log; `seen` is in neither."""
        return {name: value for name, value in asdict(self).items() if name != "seen"}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Verdict:
        """Read what `to_dict` gave; keys of newer versions are left out.

        Raises:
            StoreError: the data is no verdict.
        """
        try:
            values = _known(cls, data)
            values["examples"] = tuple(
                ExampleOutcome(**_known(ExampleOutcome, item)) for item in values["examples"]
            )
            values["missing"] = tuple(
                MissingImport(**_known(MissingImport, item)) for item in values["missing"]
            )
            values["findings"] = tuple(map(str, values["findings"]))
            values["labels"] = tuple(map(str, values["labels"]))
            values["tried"] = str(values.get("tried", ""))
            values["summary"] = str(values.get("summary", ""))
            verdict = cls(**values)
        except (TypeError, KeyError, AttributeError) as error:
            raise StoreError(f"a stored verdict cannot be read ({error}): run the cell") from error
        if verdict.safety not in {"clean", "ask", "refuse"} or verdict.proof not in {
            "passed",
            "failed",
            "unverified",
        }:
            raise StoreError("a stored verdict has values of another version: run the cell")
        return verdict


def _known(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)}
    return {key: value for key, value in data.items() if key in names}
