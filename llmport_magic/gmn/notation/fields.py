"""The fields of one node: which is which, and whether each is what it must be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from llmport_magic.gmn.notation.nodes import MAX_DEPTH, MOST, UNREAD, Call, Field, Node, Value
from llmport_magic.gmn.notation.scanner import HIDDEN, Findings
from llmport_magic.gmn.notation.spellings import FIELDS, field_of, is_idle, meant
from llmport_magic.gmn.notation.values import array_of, quoted

MAX_SIZE = 100_000
_LARGEST_INTEGER = 2**63
_DIGITS = 9
_SPACES = ("state", "observation", "action")
_CONTINUOUS = {"continuous", "gaussian", "normal", "float", "real"}
_GOALS = {"goal", "goals", "preferred", "preferred_observation", "preferred_state", "target_state"}
_NOT_FINITE = {"nan", "inf", "infinity"}


class Fields:
    """Reads the fields of one node.

    Attributes:
        kind: of the node.
        name: its name.
        given: the fields that it has, under the notation's own names.
        unread: whether one of them was there and could not be read.
    """

    def __init__(
        self, kind: str, name: str, node: Node, found: Findings, kinds: Mapping[str, str]
    ) -> None:
        self.kind, self.name = kind, name
        self._node, self._found, self._kinds = node, found, kinds
        self.unread = False
        self.given: dict[str, Field] = {}
        self._near: dict[str, str] = {}
        for key, field in node.fields.items():
            self._take(key, field)

    # -- which is which ----------------------------------------------------------------------

    def _take(self, written: str, field: Field) -> None:
        key = self._field_of(written, field)
        if key is None:
            # Comparing with what is known costs time, and a file may have many such fields.
            if not self._is_nothing(written, field) and not self._found.full:
                near = meant(written, FIELDS[self.kind])
                self._near |= {
                    known: written for known in FIELDS[self.kind] if f"`{known}`" in near
                }
                self.warn(
                    f"{quoted(written)} is no field of `{self.name}`, and is not used{near}", field
                )
            return
        if self.kind == "preference" and key == "values" and written.lower() in _GOALS:
            field = Field(Call("goal", (field.value,)), field.line, field.column)
        if key != written:
            self.warn(f"`{written}` is read as `{key}`", field)
        if key not in self.given:
            self.given[key] = field
        elif self.given[key].value != field.value:
            self.error(f"`{key}` of `{self.name}` is given twice, in different ways", field)

    def _field_of(self, written: str, field: Field) -> str | None:
        folded = written.lower()
        if self.kind == "emission" and folded == "of":
            first = (
                field.value[0] if isinstance(field.value, tuple) and field.value else field.value
            )
            return "to" if self._kinds.get(str(first)) == "observation" else "from"
        if self.kind == "preference" and folded in _GOALS:
            return "values"
        key = field_of(self.kind, written)
        whole = isinstance(field.value, int) and not isinstance(field.value, bool)
        # `states: 25` counts them, `states: [a, b]` names them.
        return "size" if key == "labels" and whole else key

    def _is_nothing(self, written: str, field: Field) -> bool:
        """Whether a field says nothing of its own: `type: discrete`."""
        if self.kind in _SPACES and written.lower() == "type":
            if str(field.value).lower() in _CONTINUOUS:
                self.error(
                    f"`{self.name}` is continuous: only discrete states, observations and actions "
                    "can be used; divide it into labelled values",
                    field,
                )
            return True
        return is_idle(written) or written.lower() == "type"

    # -- what each must be -------------------------------------------------------------------

    def value(self, key: str) -> Value | None:
        """Give a field's value; `None` where it is not there or is not to be used."""
        field = self.given.get(key)
        if field is None:
            return None
        if field.value is UNREAD:
            self.unread = True
            return None
        fault = _fault_of(field.value)
        if fault:
            self.error(f"`{key}` of `{self.name}`: {fault}", field)
            self.given[key] = Field(UNREAD, field.line, field.column)
            return None
        return field.value

    def has(self, key: str) -> bool:
        """Whether a field is there, readable or not."""
        return key in self.given

    def text(self, key: str) -> str:
        """Give a text; empty where there is none."""
        value = self.value(key)
        if value is None or isinstance(value, str):
            return value or ""
        if isinstance(value, tuple | Call):
            self.error(f"`{key}` of `{self.name}` must be a text", self.given[key])
            return ""
        return _label(value)

    def integer(self, key: str, largest: int) -> int | None:
        """Give a positive whole number."""
        value = self.value(key)
        if value is None:
            return None
        number = value
        if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
            number = int(value[:20])
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= largest:
            shown = quoted(_label(value)) if not isinstance(value, tuple | Call) else "it"
            self.error(
                f"`{key}` of `{self.name}` must be a whole number from 1 to {largest:,}; {shown} "
                "is not",
                self.given[key],
            )
            return None
        if type(value) is not int:
            self.warn(f"`{key}` is a whole number, written without quotes or a point", key)
        return number

    def real(self, key: str) -> float | None:
        """Give a positive number, which may be multiplied with any other of a specification."""
        value = self.value(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            self.error(f"`{key}` of `{self.name}` must be a number above 0", self.given[key])
            return None
        if value > MOST:
            self.error(f"`{key}` of `{self.name}` may be {MOST:g} at most", self.given[key])
            return None
        return float(value)

    def shape(self, key: str = "shape") -> tuple[int, ...]:
        """Give rows and columns; empty where there are none."""
        value = self.value(key)
        if value is None:
            return ()
        if isinstance(value, str):
            parts = value.lower().replace("×", "x").replace("*", "x").split("x")
            value = tuple(
                int(part) for part in parts if part.strip().isdecimal() and len(part) < _DIGITS
            )
            value = value if len(value) == len(parts) else ()
        cells = value if isinstance(value, tuple) else ()
        if len(cells) != 2 or not all(
            isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in cells
        ):
            self.error(
                f"`{key}` of `{self.name}` must be rows and columns, such as `[5, 5]`",
                self.given[key],
            )
            return ()
        return tuple(each for each in cells if isinstance(each, int))

    def names(self, key: str) -> tuple[str, ...]:
        """Give a list of names, or one name as a list of one."""
        value = self.value(key)
        if value is None:
            return ()
        if isinstance(value, str):
            value = tuple(part.strip() for part in value.split(",") if part.strip())
        if isinstance(value, tuple) and all(isinstance(each, str) for each in value):
            return tuple(str(each) for each in value)
        self.error(f"`{key}` of `{self.name}` must be a name or a list of names", self.given[key])
        self.unread = True
        return ()

    def labels(self) -> tuple[str, ...]:
        """Give the labels; empty where there are none."""
        value = self.value("labels")
        if value is None:
            return ()
        if isinstance(value, str) and "," in value:
            self.warn("a list is written in square brackets", "labels")
            value = tuple(part.strip() for part in value.split(","))
        if not isinstance(value, tuple) or any(isinstance(each, tuple | Call) for each in value):
            self.error(
                f"`labels` of `{self.name}` must be a list of texts, such as `[left, right]`",
                self.given["labels"],
            )
            return ()
        labels = tuple(_label(each) for each in value)
        counted = Counter(labels)
        twice = next((each for each in labels if counted[each] > 1), None)
        if twice is not None:
            self.error(f"`labels` of `{self.name}` has {quoted(twice)} twice", self.given["labels"])
        if "" in labels:
            self.error(f"`labels` of `{self.name}` has an empty text", self.given["labels"])
        return labels

    def array(self, key: str) -> Value | None:
        """Give what stands for a vector or a matrix: a list, or a constructor."""
        value = self.value(key)
        if value is None:
            return None
        array = array_of(value)
        if word := _not_finite(array):
            self.error(f"`{key}` of `{self.name}`: {quoted(word)} is not a finite number", key)
            return None
        if not isinstance(array, tuple | Call):
            shown = quoted(_label(array))
            self.error(
                f"`{key}` of `{self.name}` must be a list of numbers or a constructor such as "
                f"`uniform`; {shown} is neither",
                self.given[key],
            )
            return None
        return array

    # -- findings ----------------------------------------------------------------------------

    def place(self, key: str | Field = "") -> tuple[int, int]:
        """Give where a field stands, or the node."""
        at = key if isinstance(key, Field) else self.given.get(key, self._node)
        return (at.line, at.column) if at.line else (self._node.line, self._node.column)

    def lacks(self, key: str, mend: str) -> None:
        """Add the error that a field is left out; one with nearly its name was probably meant."""
        near = self._near.get(key)
        self.error(
            f"`{self.name}` has no {key}: "
            + (f"{quoted(near)} is none, did you mean `{key}`?" if near else mend)
        )

    def error(self, text: str, key: str | Field = "") -> None:
        """Add an error."""
        self._found.error(text, self.place(key), self.name)

    def warn(self, text: str, key: str | Field = "") -> None:
        """Add a warning."""
        self._found.warn(text, self.place(key), self.name)


def _label(value: Value) -> str:
    """Give the text that is meant by a label that is written as a number or as true or false."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fault_of(value: Value, depth: int = 0) -> str:
    """Say what is wrong with a value wherever it stands; empty where nothing is."""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{value} is not a finite number"
    if isinstance(value, int):
        return "" if abs(value) < _LARGEST_INTEGER else "a whole number is too large"
    if isinstance(value, str):
        hidden = HIDDEN.search(value)
        return f"a text holds the invisible character U+{ord(hidden[0]):04X}" if hidden else ""
    if depth >= MAX_DEPTH:
        return f"lists and calls are nested deeper than {MAX_DEPTH}"
    inner = value if isinstance(value, tuple) else (*value.arguments, *(v for _, v in value.named))
    return next((fault for each in inner if (fault := _fault_of(each, depth + 1))), "")


def _not_finite(array: Value) -> str:
    """Give the word for an infinity or for no number that stands in an array, if there is one."""
    if isinstance(array, tuple):
        return next((word for each in array if (word := _not_finite(each))), "")
    written = array.name if isinstance(array, Call) else array
    return str(written) if str(written).lower() in _NOT_FINITE else ""
