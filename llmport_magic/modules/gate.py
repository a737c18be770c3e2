"""What a text must be before Python's parser may see it, and the parse itself.

The parser runs in the kernel's process and can be made to exhaust memory or the stack, so size,
characters and nesting are checked first, each in time linear in the text.
"""

from __future__ import annotations

import ast
import re
import sys
import unicodedata
from collections.abc import Iterator

from llmport_magic.errors import VerificationError
from llmport_magic.modules.parsing import CANDIDATE, parse

MAX_BYTES = 1_000_000
MAX_LINES = 20_000
MAX_LINE_BYTES = 100_000
MAX_NESTING = 100

_OPENING, _CLOSING = "([{", ")]}"
_JOINERS = "\u200c\u200d"
_BAD = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff"
    "\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_QUOTE = re.compile(r"#[^\n]*|([A-Za-z]{0,2})(\"\"\"|'''|\"|')")
# Possessive quantifiers: a string that never ends must not be tried again from the middle.
_REST_OF_STRING = {
    '"': re.compile(r'(?:[^"\\\n]|\\.)*+"?', re.DOTALL),
    "'": re.compile(r"(?:[^'\\\n]|\\.)*+'?", re.DOTALL),
    '"""': re.compile(r'(?:[^"\\]|\\.|"(?!""))*+(?:""")?', re.DOTALL),
    "'''": re.compile(r"(?:[^'\\]|\\.|'(?!''))*+(?:''')?", re.DOTALL),
}
_WORD = re.compile(r"[^\W\d]\w*")

# What a line that this Python cannot read says about the Python that can.
_NEWER_SYNTAX = (
    (r"^\s*type\s+\w+\s*(\[.*\])?\s*=", "a `type` statement", (3, 12)),
    (r"^\s*(def|class)\s+\w+\[[^]]*=", "a default of a type parameter", (3, 13)),
    (r"^\s*(async\s+def|def|class)\s+\w+\[", "a type parameter list", (3, 12)),
    (r"^\s*except\*?\s+[\w.]+(\s*,\s*[\w.]+)+\s*:", "`except` without brackets", (3, 14)),
    (r"(?<![\w\"'])[tT][rR]?[\"']", "a template string", (3, 14)),
    (r"^\s*lazy\s+(import|from)\s", "a lazy import", (3, 15)),
    (r"(?<![\w\"'])[fF][rR]?([\"'])[^\n]*\{[^}\n]*\1", "a quote in an f-string's braces", (3, 12)),
)


def check_text(source: str) -> str | None:
    """Say in one line why a text must not reach the parser, or give `None`."""
    if len(source) > MAX_BYTES or len(source.encode("utf-8", "replace")) > MAX_BYTES:
        return f"the code is longer than {MAX_BYTES // 1_000_000} MB"
    lines = source.split("\n")
    if len(lines) > MAX_LINES:
        return f"the code has {len(lines)} lines, more than {MAX_LINES}"
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE_BYTES // 4 and len(line.encode("utf-8", "replace")) > (
            MAX_LINE_BYTES
        ):
            return f"line {number}: longer than {MAX_LINE_BYTES // 1000} kB"
    return _bad_character(source) or _bad_shape(source)


def _line_of(source: str, position: int) -> int:
    return source.count("\n", 0, position) + 1


def _bad_character(source: str) -> str | None:
    for found in _BAD.finditer(source):
        if found.group() in _JOINERS and _joins_script(source, found.start()):
            continue
        return (
            f"line {_line_of(source, found.start())}: holds the invisible character "
            f"U+{ord(found.group()):04X}; write it as an escape"
        )
    return None


def _joins_script(source: str, position: int) -> bool:
    """Tell a joiner within emoji or a script that needs it from one that hides something."""
    before = source[position - 1 : position]
    after = source[position + 1 : position + 2]
    if not before or not after:
        return False
    if before == "\ufe0f" or unicodedata.category(before) in {"So", "Sk"}:
        return unicodedata.category(after) == "So"
    return all(unicodedata.category(c) in {"Lo", "Mn", "Mc"} for c in (before, after))


def _bad_shape(source: str) -> str | None:
    depth = 0
    for line, code in _code_parts(source):
        for character in re.findall(r"[][(){}]", code):
            depth = depth + 1 if character in _OPENING else max(0, depth - 1)
            if depth > MAX_NESTING:
                return f"line {line}: brackets are nested deeper than {MAX_NESTING}"
        if not code.isascii() and (finding := _bad_identifier(line, code)):
            return finding
    return None


def _code_parts(source: str) -> Iterator[tuple[int, str]]:
    """Give the text outside strings and comments in pieces, each with its line.

    An f-string counts as code: its braces hold expressions that the parser nests as well.
    """
    position = line = 0
    while found := _QUOTE.search(source, position):
        yield line + 1, source[position : found.start()]
        end = found.end()
        prefix, quote = found.groups()
        if quote:
            end = _REST_OF_STRING[quote].match(source, end).end()  # type: ignore[union-attr]  # it always matches
            if "f" in prefix.lower() or "t" in prefix.lower():
                yield line + 1, re.sub(r"[^][(){}]", " ", source[found.end() : end])
        line += source.count("\n", position, end)
        position = max(end, position + 1)
    yield line + 1, source[position:]


def _bad_identifier(line: int, code: str) -> str | None:
    for name in _WORD.findall(code):
        if name.isascii():
            continue
        if unicodedata.normalize("NFKC", name) != name:
            return f"line {line}: the name {name!r} is read by Python as another one; spell it out"
        alphabets = {unicodedata.name(c, "").split(" ")[0] for c in name if c.isalpha()}
        if "LATIN" in alphabets and alphabets & {"CYRILLIC", "CHEROKEE", "ARMENIAN"}:
            return f"line {line}: the name {name!r} mixes letters that look alike; use one alphabet"
    return None


def parse_module(source: str) -> ast.Module:
    """Parse and compile a module's text, after the gate.

    Raises:
        VerificationError: with the finding, for a text that Python cannot or must not read.
    """
    finding = check_text(source)
    if finding is None:
        try:
            tree = parse(source)
            compile(source, CANDIDATE, "exec", dont_inherit=True)
        except SyntaxError as error:
            finding = syntax_finding(error, source)
        except (RecursionError, MemoryError):
            finding = "the code is nested too deeply for Python to read"
        except (ValueError, OverflowError) as error:
            finding = f"Python cannot read the code: {error}"
        else:
            return tree
    raise VerificationError(
        f"the answer is not a Python module: {finding}", findings=(finding,), source=source
    )


def parses(source: str) -> bool:
    """Tell whether a text passes the gate and is Python."""
    try:
        parse_module(source)
    except VerificationError:
        return False
    return True


def syntax_finding(error: SyntaxError, source: str) -> str:
    """Put a syntax error into one line; names both versions where a newer Python could read it."""
    line = error.lineno or 1
    where = f"line {line}: "
    lines = source.split("\n")
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    for pattern, what, version in _NEWER_SYNTAX:
        if sys.version_info[:2] < version and re.search(pattern, text):
            needs, here = ".".join(map(str, version)), ".".join(map(str, sys.version_info[:2]))
            return f"{where}{what} needs Python {needs}, this is Python {here}"
    message = error.msg or "invalid syntax"
    shown = text.strip()
    return f"{where}SyntaxError: {message}" + (f": `{shown[:80]}`" if shown else "")
