"""The notation as text: read into nodes, and written.

    node state location { size: 25, shape: [5, 5], initial: onehot(0) }

`docs/gmn.md` has the grammar. What means one thing only is read even where it is not written as
the grammar says, with a warning; nothing is ever evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmport_magic.gmn.findings import Finding
from llmport_magic.gmn.notation.listing import nodes_of
from llmport_magic.gmn.notation.nodes import UNREAD, Field, Node, Value
from llmport_magic.gmn.notation.scanner import HIDDEN, TooMuchError, unquoted
from llmport_magic.gmn.notation.spellings import FIELDS, KINDS, field_of, kind_of
from llmport_magic.gmn.notation.values import (
    UnreadableError,
    ValueReader,
    quoted,
    read_value,
    write_text_value,
    write_value,
)
from llmport_magic.gmn.spec import Spec

__all__ = ["MAX_BYTES", "read_text", "read_value", "write_text", "write_value"]

# A specification of 100 states by 100 actions in full has about as much.
MAX_BYTES = 1_000_000
_WIDTH = 100
_MANY = 4
_FREE_TEXT = {"description", "desc", "note", "comment", "purpose"}
_UNTIL = re.compile(r"[^\n,;}]*")
_WORDS = r"\w++(?:[ \t]*+:)?+[ \t]++[\w\"'-]++"
_KNOWN_FIELDS = {"name", *(field for fields in FIELDS.values() for field in fields)}
_NEXT_HEADER = re.compile(
    rf"^[ \t]*+(?:(?:node|agent)\b|{_WORDS}\s*+\{{)", re.MULTILINE | re.IGNORECASE
)
# Without the word `node`, only what looks like a header begins one.
_BARE_HEADER = re.compile(rf"(?:{_WORDS}|\w++)\s*+(?:\{{|:[ \t]*+[\n{{])")


class _Reader(ValueReader):
    """Reads the nodes of one text; goes on behind what it cannot read."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nodes: list[Node] = []
        # Whether the comma behind the field was read already.
        self._parted = False

    # -- nodes -------------------------------------------------------------------------------

    def read(self) -> None:
        """Read all nodes of the text."""
        while self.scan.kind:
            self._top()

    def _top(self) -> None:
        scan = self.scan
        place = scan.place(scan.at)
        if scan.kind == "word" and (
            scan.piece.lower() in ("node", "agent") or _BARE_HEADER.match(scan.text, scan.at)
        ):
            self._node(place)
            return
        if scan.piece in (",", ";"):
            scan.advance()
            return
        if scan.piece == "}":
            self.found.error("a `}` closes nothing; delete it", place)
            while scan.piece == "}":
                scan.advance()
            return
        fence = scan.piece == "`"
        self.found.error(
            "a line of ``` is of Markdown: delete it"
            if fence
            else f"{quoted(scan.piece)} begins no node: write `node KIND NAME {{ … }}`",
            place,
        )
        following = _NEXT_HEADER.search(scan.text, scan.end)
        scan.seek(following.start() if following else len(scan.text))

    def _node(self, place: tuple[int, int]) -> None:
        words, bare = self._header()
        kind, name = self._kind_and_name(words, place)
        self.node, self.kind = name, kind
        braces = self.scan.piece == "{"
        if braces:
            self.scan.advance()
        elif bare and self.scan.fresh and not self.scan.header_here():
            self.found.warn("the fields of a node belong in braces: `{ … }`", place, name)
        elif kind:
            self.found.error(f"`{{` is missing after `{' '.join(words)}`", place, name)
        fields = self._fields(kind, name, place, braces=braces)
        if kind:
            name = self._named_inside(kind, name, fields, place)
            self.nodes.append(Node(kind, name, fields, *place))

    def _header(self) -> tuple[list[str], bool]:
        """Take the words up to the brace; tell whether they end with a colon, as in YAML."""
        scan, words, colon = self.scan, list[str](), False
        while scan.kind in ("word", "string") or (words and scan.piece == ":"):
            if words and scan.fresh:
                break
            colon = scan.piece == ":"
            if not colon:
                words.append(unquoted(scan.piece) if scan.kind == "string" else scan.piece)
            scan.advance()
        return words, colon

    def _kind_and_name(self, words: list[str], place: tuple[int, int]) -> tuple[str, str]:
        written = words
        if words[0].lower() == "node":
            words = words[1:]
        elif kind_of(words[0]) != "agent":
            self.found.warn("a node begins with the word `node`", place)
        if not words or len(words) > 2:
            header = quoted(" ".join(written))
            self.found.error(f"{header} is no header: write `node KIND NAME {{ … }}`", place)
            return "", words[-1] if words else ""
        kind = kind_of(words[0])
        if kind is None and len(words) > 1 and kind_of(words[1]):
            self.found.warn(f"the kind comes first: `node {words[1]} {words[0]}`", place)
            words = words[::-1]
            kind = kind_of(words[0])
        name = words[1] if len(words) > 1 else ""
        if kind is None:
            # That there is no such kind is told where a specification is built.
            return words[0], name
        if words[0] != kind and kind in KINDS:
            self.found.warn(f"`{words[0]}` is read as `{kind}`", place, name)
        return kind, name

    def _named_inside(
        self, kind: str, name: str, fields: dict[str, Field], place: tuple[int, int]
    ) -> str:
        if name:
            return name
        inside = fields.pop("name", None)
        if inside is not None and isinstance(inside.value, str):
            return inside.value
        if kind in ("state", "observation", "action"):
            self.found.error(
                f"a node of kind `{kind}` has no name: write `node {kind} NAME`", place
            )
        elif kind not in ("agent", "habit"):
            self.found.warn(f"a node of kind `{kind}` has no name: `node {kind} NAME`", place)
        number = sum(node.kind == kind for node in self.nodes)
        return f"{kind}_{number + 1}" if number else kind

    # -- fields ------------------------------------------------------------------------------

    def _fields(
        self, kind: str, name: str, place: tuple[int, int], *, braces: bool
    ) -> dict[str, Field]:
        scan, fields = self.scan, dict[str, Field]()
        while True:
            if scan.piece == "}" and scan.kind == "sign":
                scan.advance()
                return fields
            if not scan.kind or scan.header_here():
                if braces:
                    self.found.error(
                        f"{quoted(name or kind)} is not closed: a `}}` is missing", place, name
                    )
                return fields
            if scan.piece in (",", ";"):
                if scan.piece == ";":
                    self.warn("fields are separated by commas or new lines, not by `;`")
                scan.advance()
                continue
            self._field(fields)

    def _field(self, fields: dict[str, Field]) -> None:
        scan = self.scan
        start = scan.at
        key = written = ""
        self._parted = False
        try:
            key = self._key()
            self._colon(key)
            value_place, written = scan.place(scan.at), scan.piece
            value = self._free_text() if key.lower() in _FREE_TEXT else self._whole_value()
            self._ends(key)
        except UnreadableError:
            value, value_place = UNREAD, scan.place(start)
            if scan.at == start and scan.kind:
                scan.advance()
            self._skip()
        if key and value is None:
            value = self._nothing(key, written, value_place)
        if not key or value is None:
            return
        if key in fields:
            self.error(f"`{key}` is given twice", scan.place(start))
        else:
            fields[key] = Field(value, *value_place)

    def _nothing(self, key: str, written: str, place: tuple[int, int]) -> str | None:
        """Give what a field says that is written as `none`: a state may be called that."""
        if written == "none" and field_of("state", key) == "initial":
            return written
        self.found.warn(f"a field that is `{written}` is left out", place, self.node)
        return None

    def _key(self) -> str:
        scan = self.scan
        if scan.kind not in ("word", "string"):
            raise self.unreadable(f"{quoted(scan.piece)} is no field: write `key: value`")
        key = unquoted(scan.piece) if scan.kind == "string" else scan.piece
        scan.advance()
        return key

    def _colon(self, key: str) -> None:
        scan = self.scan
        if scan.kind == "sign" and scan.piece in ":=":
            if scan.piece == "=":
                self.warn("a field is written with a colon: `key: value`")
            scan.advance()
        elif scan.fresh or not (scan.kind in ("number", "word", "string") or scan.piece in "[("):
            raise self.unreadable(f"{quoted(key)} has no value: write `{key}: value`")
        else:
            self.warn("a field is written with a colon: `key: value`")

    def _whole_value(self) -> Value | None:
        """Read a value, or several that make a list without its brackets: `from: place, move`."""
        scan, values = self.scan, [self.value()]
        while isinstance(values[0], str | int | float) and scan.piece == ",":
            scan.advance()
            plain = scan.kind in ("word", "string", "number") and not scan.header_here()
            if not plain or scan.key_ahead() or scan.piece.lower() in _KNOWN_FIELDS:
                self._parted = True
                break
            self.warn("a list is written in square brackets")
            values.append(self.value(1))
        return tuple(each for each in values if each is not None) if len(values) > 1 else values[0]

    def _free_text(self) -> Value | None:
        scan = self.scan
        if scan.kind in ("string", "") or scan.piece == "}":
            return self.value()
        self.warn("a text is written in quotes")
        raw = _UNTIL.match(scan.text, scan.at)
        scan.seek(raw.end() if raw else scan.end)
        return raw.group().partition(" #")[0].strip() if raw else ""

    def _ends(self, key: str) -> None:
        """See that a field ends here."""
        scan = self.scan
        if (
            self._parted
            or scan.fresh
            or not scan.kind
            or (scan.kind == "sign" and scan.piece in ",;}")
        ):
            return
        if scan.kind in ("word", "string") and scan.key_ahead():
            return
        raise self.unreadable(f"{quoted(scan.piece)} is too much after the value of `{key}`")

    def _skip(self) -> None:
        """Go on to what begins or ends a field, behind something that cannot be read."""
        scan, depth, braces = self.scan, self.open, 0
        self.open = 0
        while scan.kind and not scan.header_here():
            named = scan.kind in ("word", "string") and scan.key_ahead()
            if named and not braces and (scan.fresh or not depth):
                return
            if scan.kind == "sign":
                if scan.piece == "}" and not braces:
                    return
                if scan.piece in ",;" and not depth and not braces:
                    return
                braces += (scan.piece == "{") - (scan.piece == "}")
                depth += (scan.piece in "[(") - (scan.piece in "])")
                depth = max(depth, 0)
            scan.advance()


def place_within(text: str, place: tuple[int, int], at: Sequence[int]) -> tuple[int, int]:
    """Give line and column of a part of a list, read once more from where the list begins.

    Args:
        text: in which the list stands, and can be read.
        place: line and column of the list.
        at: the index of the part in each of the lists that hold it.
    """
    reader = ValueReader(HIDDEN.sub(" ", _one_line_end(text)))
    scan = reader.scan
    scan.seek(scan.position(*place))
    for index in at:
        if scan.piece not in ("[", "("):
            break
        scan.advance()
        for _ in range(index):
            reader.value(1)
            if scan.piece in (",", ";"):
                scan.advance()
    return scan.place(scan.at)


def _one_line_end(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def read_text(text: str) -> tuple[list[Node], list[Finding]]:
    """Read the nodes of a text, and what is wrong with how it is written.

    Args:
        text: up to 1 MB.

    Returns:
        The nodes in their order, and at most 20 findings with line and column. A field that is
        there and cannot be read has the value `UNREAD`.
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return [], [Finding(f"the text is longer than {MAX_BYTES // 1_000_000} MB")]
    text = _one_line_end(text)
    reader = _Reader(HIDDEN.sub(" ", text))
    try:
        for seen, hidden in enumerate(HIDDEN.finditer(text)):
            if seen == _MANY:
                break
            reader.found.error(
                f"the invisible character U+{ord(hidden.group()):04X}; delete it, or write it in "
                "quotes as an escape",
                reader.scan.place(hidden.start()),
            )
        reader.read()
    except TooMuchError:
        pass
    return reader.nodes, sorted(reader.found.all, key=lambda each: (each.line, each.column))


def write_text(spec: Spec) -> str:
    """Write a specification; reading that gives an equal one.

    Comments of the text that it was read from are not kept.
    """
    return "".join(_written_node(node) for node in nodes_of(spec))


def _written_node(node: Node) -> str:
    header = "agent" if node.kind == "agent" else f"node {node.kind}"
    header = f"{header} {write_text_value(node.name)}"
    fields = [(key, _written_field(key, field.value)) for key, field in node.fields.items()]
    line = f"{header} {{ {', '.join(f'{key}: {value}' for key, value in fields)} }}\n"
    if len(line) <= _WIDTH and "\n" not in line.rstrip():
        return line
    return "\n".join([f"{header} {{", *(f"  {key}: {value}" for key, value in fields), "}\n"])


def _written_field(key: str, value: Value) -> str:
    """Write a field's value; a long list of lists gets a line for each."""
    line = write_value(value)
    if len(line) + len(key) <= _WIDTH - 4 or not isinstance(value, tuple):
        return line
    if not any(isinstance(each, tuple) for each in value):
        return line
    rows = ",\n".join(f"    {write_value(each)}" for each in value)
    return f"[\n{rows}\n  ]"
