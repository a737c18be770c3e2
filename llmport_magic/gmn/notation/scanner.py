"""The notation's text token by token, in time linear in its length."""

from __future__ import annotations

import re
from bisect import bisect_right

from llmport_magic.gmn.findings import Finding

# Errors and warnings that one read gives at most.
MAX_FINDINGS = 20

# Possessive quantifiers: nothing that was read is tried again from its middle.
_WORD = r"[^\s\x00-/:-@\[-^`{-\x9f“”‘’−]"  # what models write
_QUOTES = "\"'“‘"
_BLANK = re.compile(r"(?:\s++|#[^\n]*+|//[^\n]*+)++")
_TOKEN = re.compile(
    rf"""
      (?P<number>[+\-−]?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+(?!{_WORD}|\.\w))
    | (?P<infinite>[+\-−](?:inf(?:inity)?|nan)(?!{_WORD}))
    | (?P<word>{_WORD}++(?:[-.]{_WORD}++)*+)
    | (?P<string>"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'|“[^”\n]*+”|‘[^’\n]*+’)
    | (?P<open>["'“‘])
    | (?P<sign>.)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_NUMBER = r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+"
_NUMBERS = re.compile(rf"\[\s*+{_NUMBER}\s*+(?:,\s*+{_NUMBER}\s*+)*+(?:,\s*+)?+\]")
_KEY_AHEAD = re.compile(r"\s*+[:=]")
# What begins a node at the start of a line, with or without the word `node`.
_HEADER = re.compile(
    rf"[ \t]*+(?:(?:node|agent)\b(?!\s*+[:=(,\]])|{_WORD}++[ \t]++{_WORD}++[ \t]*+\{{)",
    re.IGNORECASE,
)
# Nothing of this is seen when it is read, or it turns around what is seen.
HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\u061c\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class Scanner:
    """One token at a time, and where it stands.

    Attributes:
        text: what is read.
        kind: of the token: `number`, `infinite`, `word`, `string`, `open` (a string that does not
            end), `sign`, or empty at the end.
        piece: its text.
        at: where it begins.
        end: where it ends.
        fresh: whether it is the first of its line.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts: list[int] | None = None
        # Where the line ends in which strings do not end, and how many there were.
        self._unclosed = (-1, 0)
        self.seek(0)

    def seek(self, position: int) -> None:
        """Read on from a position."""
        self.end = position
        self.kind = self.piece = ""
        self.advance()
        if position == 0:
            self.fresh = True

    def advance(self) -> None:
        """Go to the next token."""
        text, start = self.text, self.end
        self.fresh = False
        if blank := _BLANK.match(text, start):
            self.fresh = "\n" in blank.group()
            start = blank.end()
        self.at = start
        if self._is_hopeless(start):
            self.kind, self.piece, self.end = "open", text[start], start + 1
        elif found := _TOKEN.match(text, start):
            self.kind = found.lastgroup or ""
            self.piece = found.group()
            self.end = found.end()
            if self.kind == "open":
                self._note_unclosed(start)
        else:
            self.kind = self.piece = ""
            self.end = start

    def _note_unclosed(self, position: int) -> None:
        ends, count = self._unclosed
        if position >= ends:
            ends, count = self.text.find("\n", position), 0
            ends = len(self.text) if ends < 0 else ends
        self._unclosed = (ends, count + 1)

    def _is_hopeless(self, position: int) -> bool:
        """Whether so many strings of this line do not end that no other is looked for.

        Each search goes on to the end of the line: a line of quotes would take its square.
        """
        ends, count = self._unclosed
        return count >= MAX_FINDINGS and position < ends and self.text[position] in _QUOTES

    def numbers(self) -> tuple[int | float, ...] | None:
        """Read a plain list of numbers at once, if that is what begins here."""
        found = _NUMBERS.match(self.text, self.at)
        if found is None:
            return None
        written = found.group()[1:-1].split(",")
        values = tuple(number(each.strip()) for each in written if each.strip())
        if None in values:
            return None
        self.end = found.end()
        self.advance()
        return values  # type: ignore[return-value]  # no None is left

    def key_ahead(self) -> bool:
        """Whether a colon or an equals sign follows the token."""
        return _KEY_AHEAD.match(self.text, self.end) is not None

    def header_here(self) -> bool:
        """Whether a node begins with the token, at the start of a line."""
        return self.fresh and self.kind == "word" and bool(_HEADER.match(self.text, self.at))

    def place(self, position: int) -> tuple[int, int]:
        """Give line and column of a position, from 1."""
        starts = self._lines()
        line = bisect_right(starts, position)
        return line, position - starts[line - 1] + 1

    def position(self, line: int, column: int) -> int:
        """Give the position of a line and a column, from 1."""
        return self._lines()[line - 1] + column - 1

    def _lines(self) -> list[int]:
        if self._starts is None:
            self._starts = [0, *(found.end() for found in re.finditer("\n", self.text))]
        return self._starts


class TooMuchError(Exception):
    """So much is wrong that reading on tells nothing."""


class Findings:
    """What one read found: each thing once, and not more than somebody can use."""

    def __init__(self) -> None:
        self.all: list[Finding] = []
        self._said: set[str] = set()

    @property
    def full(self) -> bool:
        """Whether a warning more would not be kept."""
        return len(self.all) >= MAX_FINDINGS

    def error(self, text: str, place: tuple[int, int] = (0, 0), node: str = "") -> None:
        """Add an error.

        Raises:
            TooMuchError: there are too many.
        """
        self._add(Finding(text, "error", node, *place))

    def warn(self, text: str, place: tuple[int, int] = (0, 0), node: str = "") -> None:
        """Add a warning, unless it was said already."""
        if text not in self._said:
            self._said.add(text)
            self._add(Finding(text, "warning", node, *place))

    def _add(self, finding: Finding) -> None:
        if self.full:
            if finding.level == "warning":
                return
            mild = [each for each in self.all if each.level == "warning"]
            if not mild:
                raise TooMuchError
            self.all.remove(mild[-1])
        self.all.append(finding)


def number(written: str) -> int | float | None:
    """Give the number that a token says, or `None` where it is none that can be used."""
    written = written.replace("−", "-")
    if len(written) > 100:  # Python writes no float with more than 25
        return None
    value: int | float
    try:
        value = int(written)
    except ValueError:
        try:
            value = float(written)
        except ValueError:
            return None
    return value if abs(value) < 1e300 else None


def unquoted(written: str) -> str:
    """Give what a string says."""

    def character(found: re.Match[str]) -> str:
        if code := found[1]:
            return chr(int(code, 16))
        if found[2] in _ESCAPES:
            return _ESCAPES[found[2]]
        return found[2] if found[2] in "\\/\"'" else found[0]

    if "\\" not in written:
        return written[1:-1]
    text = _ESCAPE.sub(character, written[1:-1])
    try:
        # Two escapes may be the halves of one character.
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return text
