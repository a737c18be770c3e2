"""What the variables of a GNN file are for an agent, which belong together, and their sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmport_magic.gmn.findings import Finding
from llmport_magic.gmn.notation.dialects.gnn_page import Page
from llmport_magic.gmn.notation.dialects.literals import Literal, shape_of, size_text

PRECISION = ("\N{GREEK SMALL LETTER GAMMA}", "gamma", "precision", "policy_precision")
# Looked for in this order in what the annotation says: `PriorOverHiddenStates` is no state.
_ONTOLOGY = (
    ("precision", ""),
    ("noise", ""),
    ("concentration", ""),
    ("dirichlet", ""),
    ("likelihood", "A"),
    ("emission", "A"),
    ("observationmodel", "A"),
    ("observationmatrix", "A"),
    ("transition", "B"),
    ("preference", "C"),
    ("habit", "E"),
    ("policyprior", "E"),
    ("prioroverpolic", "E"),
    ("prior", "D"),
    ("initial", "D"),
    ("nexthidden", ""),
    ("previous", ""),
    ("policy", ""),
    ("hiddenstate", "s"),
    ("observation", "o"),
    ("action", "u"),
)
_BY_NAME = re.compile(r"([ABCDEsou])(?:_\w+|[0-9]+)?")
_ENDING = re.compile(r"[^\W_0-9]+_?(.*)", re.DOTALL)
_NEXT = re.compile(r"(?:_|^)(?:prime|next|tp1|t\+1|prev|tau\d+)(?:_|$)|'")


class Roles:
    """The variables of one page by what they are; what is found is gathered here.

    Attributes:
        page: what is read.
        findings: what was found so far, beside what the page itself could not read.
        by_role: the names of the variables that are `A`, `B`, `C`, `D`, `E`, `s`, `o`, `u`.
        factor_of: the state that each `D` and `B` belongs to.
        modality_of: the observation that each `A` and `C` belongs to.
        sizes: of the states and observations; 0 where nothing says it.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.findings: list[Finding] = []
        self.by_role: dict[str, list[str]] = {role: [] for role in "ABCDEsou"}
        left_out = []
        for name in dict.fromkeys((*page.variables, *page.values)):
            role = _role(name, page.roles.get(name, ""))
            if role:
                self.by_role[role].append(name)
            elif name not in PRECISION:
                left_out.append(f"`{name}`")
        given = [n for role in "sou" for n in self.by_role[role] if n in page.values]
        if given:
            names = ", ".join(f"`{name}`" for name in given)
            self.warn(f"the value of {names} is left out: an agent begins with `D`", given[0])
        if left_out:
            self.warn(f"left out, as an agent has its own or needs none: {', '.join(left_out)}")
        self.factor_of = self._pair("s", "DB")
        self.modality_of = self._pair("o", "AC")
        self.sizes = {name: self._size(name, "DB") for name in self.by_role["s"]}
        self.sizes |= {name: self._size(name, "CA") for name in self.by_role["o"]}

    # -- what is said --------------------------------------------------------------------------

    def error(self, text: str, name: str = "") -> None:
        """Add an error about a variable."""
        self.findings.append(Finding(text, "error", name, *self.place(name)))

    def warn(self, text: str, name: str = "") -> None:
        """Add a warning about a variable."""
        self.findings.append(Finding(text, "warning", name, *self.place(name)))

    @property
    def failed(self) -> bool:
        """Whether there is an error so far, on the page or about its variables."""
        return any(each.level == "error" for each in (*self.page.findings, *self.findings))

    def place(self, name: str) -> tuple[int, int]:
        """Give the line and the column of a variable: where it has its value, else its name."""
        found = self.page.values.get(name) or self.page.variables.get(name)
        return (found.line, found.column) if found else (0, 0)

    # -- which belong together -----------------------------------------------------------------

    def of(self, name: str, role: str) -> str:
        """Give the variable of a role that belongs to a state or an observation, or nothing."""
        partners = {**self.factor_of, **self.modality_of}
        return next((each for each in self.by_role[role] if partners.get(each) == name), "")

    def partner(self, name: str, candidates: Sequence[str]) -> str:
        """Give the one with the same ending, else the only one connected, else the only one."""
        same = [each for each in candidates if ending(each) == ending(name)]
        near = self.page.linked(name)
        linked = [each for each in candidates if each in near]
        return next((found[0] for found in (same, linked, candidates) if len(found) == 1), "")

    def _pair(self, role: str, matrices: str) -> dict[str, str]:
        named = [self.by_role[each] for each in matrices if self.by_role[each]]
        if not self.by_role[role] and named:
            for matrix in named[0]:
                name = role + matrix[1:]
                self.by_role[role].append(name)
                self.warn(f"`{name}` is not declared; taken from `{matrix}`", matrix)
        partners: dict[str, str] = {}
        for kind in matrices:
            taken: dict[str, str] = {}
            for name in self.by_role[kind]:
                partner = self.partner(name, self.by_role[role])
                if not partner:
                    some = ", ".join(f"`{each}`" for each in self.by_role[role]) or f"no `{role}`"
                    self.error(f"which of {some} `{name}` is for is not said: connect them", name)
                elif partner in taken:
                    self.error(f"`{partner}` has both `{taken[partner]}` and `{name}`", name)
                else:
                    taken[partner] = name
                    partners[name] = partner
        return partners

    # -- sizes -----------------------------------------------------------------------------------

    def declared(self, name: str) -> tuple[int, ...]:
        """Give the shape that a variable is declared with; `()` where it is not in numbers."""
        variable = self.page.variables.get(name)
        dimensions = [self._number(each) for each in variable.dimensions] if variable else []
        known = tuple(each for each in dimensions if each is not None)
        return known if len(known) == len(dimensions) else ()

    def _number(self, dimension: int | str) -> int | None:
        if isinstance(dimension, int):
            return dimension
        text, _ = self.page.parameters.get(dimension, ("", 0))
        return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None

    def _size(self, name: str, about: str) -> int:
        """Find how many values a state or an observation has.

        Declared as `o[1,type=int]` it is an index, and what is about it says the size.
        """
        own = (self.declared(name) or (0,))[0]
        if own > 1:
            return own
        for role in about:
            matrix = self.of(name, role)
            if shape := self.declared(matrix):
                return shape[0]
            if role in "CD" and (vector := self.vector(matrix)):
                return len(vector)
        if not own:
            self.error(
                f"how many values `{name}` has is not said: declare it, as `{name}[3]`", name
            )
        return own

    # -- values ----------------------------------------------------------------------------------

    def tensor(self, name: str) -> Literal | None:
        """Give a matrix as it was written, `None` where it cannot be used or is not there."""
        if name not in self.page.values:
            return None
        value = self.page.values[name].value
        try:
            shape = shape_of(value)
        except ValueError as ragged:
            self.error(f"`{name}` is no full matrix: {ragged}", name)
            return None
        declared = self.declared(name)
        while (
            declared and isinstance(value, tuple) and len(shape) > len(declared) and shape[0] == 1
        ):
            value, shape = value[0], shape[1:]
        if declared and _long(shape) != _long(declared):
            self.error(
                f"`{name}` is declared [{', '.join(map(str, declared))}], but its value has the "
                f"shape {size_text(shape) or 'of one number'}: make both the same",
                name,
            )
            return None
        return value

    def vector(self, name: str) -> tuple[int | float, ...] | None:
        """Give a vector without its axes of length 1, `None` where it is none or not there."""
        value = self.tensor(name)
        if value is None:
            return None
        if len(_long(shape_of(value))) > 1:
            shape = size_text(shape_of(value))
            self.error(f"`{name}` has the shape {shape} and must be a list of numbers", name)
            return None
        return _numbers(value)


def ending(name: str) -> str:
    """Give `loc` of `A_loc`, and the same of `s_loc` and `s_loc_t`."""
    found = _ENDING.fullmatch(name)
    return re.sub(r"(?:^|_)t$", "", found[1]) if found else ""


def _role(name: str, annotated: str) -> str:
    """Give what a variable is; nothing where an agent does not need it."""
    plain = re.sub(r"[\W_]", "", annotated).lower()
    for word, role in _ONTOLOGY:
        if word in plain:
            return "" if _NEXT.search(name) and role == "s" else role
    if _NEXT.search(name):
        return ""
    found = _BY_NAME.fullmatch(name)
    return found[1] if found else ""


def _long(shape: tuple[int, ...]) -> list[int]:
    """Give the lengths that are not 1, in ascending order."""
    return sorted(length for length in shape if length != 1)


def _numbers(value: Literal) -> tuple[int | float, ...]:
    if not isinstance(value, tuple):
        return (value,)
    return tuple(number for each in value for number in _numbers(each))
