"""What is wrong with a specification, or only worth a word: one line each, with where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from llmport_magic.gmn.spec import Spec


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        text: what it is and what to do about it, one line.
        level: an `error` makes a specification unusable; a `warning` does not.
        node: the node that it is about; empty where it is about the whole.
        line: where in the text, from 1; 0 where that is not known.
        column: the column there, from 1.
    """

    text: str
    level: Literal["error", "warning"] = "error"
    node: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        return f"{place}{self.text}"


@dataclass(frozen=True, slots=True)
class Report:
    """What validating a specification found; it is true where there is no error.

    Attributes:
        findings: in the order of the text.
        spec: the specification, where there is no error.
        dialect: what it was read as: `gmn`, `json`, `sections`, `graph`, `gnn` or `spec`.
    """

    findings: tuple[Finding, ...] = ()
    spec: Spec | None = None
    dialect: str = "gmn"

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.errors

    @property
    def errors(self) -> tuple[str, ...]:
        """The errors, a line each."""
        return tuple(str(each) for each in self.findings if each.level == "error")

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings, a line each."""
        return tuple(str(each) for each in self.findings if each.level == "warning")

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = [f"{each.level}: {each}" for each in self.findings]
        return "\n".join(["valid" if self.ok else "not valid", *lines])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Show it as lines."""
        return {"text/plain": str(self)}
