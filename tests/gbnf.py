"""Draws texts from a grammar in llama.cpp's form, as far as the package writes such grammars."""

from __future__ import annotations

import random
import re

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\]|\\.)*") | (?P<set>\[[^\]]*\]) | (?P<name>[a-z]\w*)
    | (?P<times>\{\d+(?:,\d+)?\}|[?*+]) | (?P<sign>[()|])
    )""",
    re.VERBOSE,
)
_ESCAPED = {"n": "\n", '"': '"', "\\": "\\"}


class Grammar:
    """A grammar that texts are drawn from.

    Args:
        text: one rule a line.
        seed: of what is drawn.
    """

    def __init__(self, text: str, seed: int = 0) -> None:
        pairs = (line.split(" ::= ", 1) for line in text.splitlines())
        self.rules = {name: _tokens(rule) for name, rule in pairs}
        self.random = random.Random(seed)
        self.depth = 0

    def draw(self, rule: str = "root") -> str:
        """Draw one text."""
        self.depth += 1
        drawn, end = self._either(self.rules[rule], 0)
        self.depth -= 1
        assert end == len(self.rules[rule]), rule
        return drawn

    def _either(self, tokens: list[tuple[str, str]], at: int) -> tuple[str, int]:
        """Draw one of several ways; all are walked, to find their end, and one is kept."""
        spans = [at]
        depth = 0
        end = at
        while end < len(tokens) and not (tokens[end][1] == ")" and depth == 0):
            kind, piece = tokens[end]
            depth += (piece == "(" and kind == "sign") - (piece == ")" and kind == "sign")
            if piece == "|" and depth == 0:
                spans.append(end + 1)
            end += 1
        # Deep inside a rule that stands in itself, the first way ends it.
        start = spans[0] if self.depth > 8 else self.random.choice(spans)
        return self._sequence(tokens, start), end

    def _sequence(self, tokens: list[tuple[str, str]], at: int) -> str:
        found = ""
        while at < len(tokens) and tokens[at][1] not in ("|", ")"):
            begun = at
            at = _behind(tokens, at)
            least, most = 1, 1
            if at < len(tokens) and tokens[at][0] == "times":
                least, most = _bounds(tokens[at][1])
                at += 1
            for _ in range(self.random.randint(least, most)):
                found += self._one(tokens, begun)
        return found

    def _one(self, tokens: list[tuple[str, str]], at: int) -> str:
        kind, piece = tokens[at]
        if kind == "text":
            return re.sub(r"\\(.)", lambda each: _ESCAPED[each[1]], piece[1:-1])
        if kind == "set":
            return chr(self.random.choice(self.random.choice(_letters(piece[1:-1]))))
        if kind == "name":
            return self.draw(piece)
        return self._either(tokens, at + 1)[0]


def _tokens(rule: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(rule.rstrip()):
        token = _TOKEN.match(rule, at)
        assert token is not None, rule[at:]
        found.append((str(token.lastgroup), str(token[str(token.lastgroup)])))
        at = token.end()
    return found


def _behind(tokens: list[tuple[str, str]], at: int) -> int:
    if tokens[at] != ("sign", "("):
        return at + 1
    depth = 0
    for end in range(at, len(tokens)):
        depth += (tokens[end] == ("sign", "(")) - (tokens[end] == ("sign", ")"))
        if not depth:
            return end + 1
    raise AssertionError("a parenthesis is not closed")


def _bounds(times: str) -> tuple[int, int]:
    if times in "?*+":
        return {"?": (0, 1), "*": (0, 3), "+": (1, 3)}[times]
    least, _, most = times.strip("{}").partition(",")
    return int(least), min(int(most or least), int(least) + 3)


def _letters(inner: str) -> list[range]:
    """Give the ranges of a set of characters."""
    inner = re.sub(r"\\u([0-9a-f]{4})", lambda each: chr(int(each[1], 16)), inner)
    pairs = [*re.findall(r"(.)-(.)", inner), *((c, c) for c in re.sub(r".-.", "", inner))]
    return [range(ord(a), ord(b) + 1) for a, b in pairs]
