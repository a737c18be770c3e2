"""Taking the module out of an answer: raw code, fenced blocks, or code among prose.

The rule, in order:

1. Text that is Python as a whole is taken as it is.
2. Fenced blocks: those tagged as Python first, then untagged ones, then unknown tags; blocks of
   another language never. A block ends at the first fence at which its text parses, so that a
   fence inside a docstring does not end it.
3. Of several blocks, those that only use what the others define are left out. The rest is joined
   when the blocks define different names and parse together; else the longest one is taken.
4. Without a fence, prose before, between the paragraphs after, and behind the code is dropped.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmport_magic.errors import LLMOutputError, VerificationError
from llmport_magic.modules.gate import MAX_BYTES, parse_module
from llmport_magic.modules.markdown import Block, find_blocks

_THINKING = re.compile(r"\A\s*<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_END_TOKENS = re.compile(r"\s*(<\|[\w▁]{1,40}\|>|</s>|<eos>|<end_of_turn>)\s*\Z")
_REFUSAL = re.compile(
    r"\b(i'?m (very )?sorry|i apologi[sz]e|i can(no|')t|i can not|i am (not able|unable)|"
    r"i'm (not able|unable)|as an ai|i won't|i must decline)\b",
    re.IGNORECASE,
)
_CODE_LINE = re.compile(
    r"(import\s+[\w.]+|type\s+\w+\s*(\[.*\])?\s*=[^=]|from\s+[\w.]+\s+import\s|"
    r"(async\s+)?def\s+\w+|class\s+\w+\s*[(:\[]|@\w|"
    r"[A-Za-z_][\w.]*(\s*:\s*[^=]+)?\s*=[^=]|\"\"\"|'''|#|if\s.+:\s*$|for\s.+:\s*$|try:|with\s.+:\s*$)"
)
_BLOCK_LINE = re.compile(
    r"(def|class|async|return|raise|for|while|with|if|elif|else|try|except)\b.*:?$"
)
_CELL_LINE = re.compile(r"[A-Za-z_][\w.]*[(\[]")
_LIST_ITEM = re.compile(r"[*\-\u2022#>|]|\d+\. ")
_WORD = re.compile(r"[A-Za-z'\u2019]{2,}")
_SENTENCE_WORDS = 3
_MAX_STARTS = 12
_BARE_FENCE = re.compile(r"^(```|~~~)\s*$", re.MULTILINE)
_GLUED_FENCE = re.compile(r"(?<=\S)(?:`{3,}|~{3,})[ \t]*$", re.MULTILINE)
_PROMPT = re.compile(r"^(?:>>>|\.\.\.)(?: |$)", re.MULTILINE)
_PROMPTED_DEFINITION = re.compile(r"^>>> (?:(?:async )?def|class|@)\b", re.MULTILINE)
_MAGIC_LINE = re.compile(r"^[%!][A-Za-z]")
_CUT_OFF = {
    "length": "the answer was cut off at the token limit: raise `max_tokens` or ask for less",
    "content_filter": "the provider withheld the answer: word the prompt differently",
    "error": "the answer ended with an error: run the cell again",
}


@dataclass(slots=True)
class _Reader:
    """Parses candidates within a budget, so that a reply of many fences costs no minutes."""

    left: int = 8 * MAX_BYTES
    cell: bool = False

    def read(self, text: str) -> ast.Module | None:
        """Parse, or give `None` for what is no Python or comes after the budget is spent."""
        self.left -= len(text) + 1000
        if self.left < 0:
            return None
        try:
            return parse_module(text)
        except VerificationError:
            return None

    def holds_code(self, tree: ast.Module) -> bool:
        """Tell code from words that happen to parse, such as `Sorry` or `None`."""
        return any(_does_something(each) or self._shows(each) for each in tree.body)

    def _shows(self, statement: ast.stmt) -> bool:
        """Tell a cell's expression, such as `df["price"] * 2`, from words between commas."""
        words = (ast.Name, ast.Constant, ast.Tuple)
        return (
            self.cell and isinstance(statement, ast.Expr) and not isinstance(statement.value, words)
        )

    def looks_like_code(self, text: str) -> bool:
        """Tell broken code from prose."""
        lines = [line for line in text.split("\n") if line.strip() and not line.startswith("#")]
        return any(map(self.is_code_line, lines))

    def is_code_line(self, line: str) -> bool:
        """Tell a line that begins code."""
        line = line.strip()
        return bool(_CODE_LINE.match(line) or (self.cell and _CELL_LINE.match(line)))


def extract_module(text: str, *, finish_reason: str = "stop", cell: bool = False) -> str:
    """Give the source of the module in an answer, with LF line ends and one at its end.

    Args:
        text: the answer as it arrived.
        finish_reason: why the model stopped.
        cell: whether it is the code of a cell, which may be no more than an expression.

    Raises:
        LLMOutputError: the answer is empty, a refusal, cut off, or holds no code.
        VerificationError: it holds code that is not Python; `source` is the best candidate.
    """
    if finish_reason in _CUT_OFF:
        raise LLMOutputError(_CUT_OFF[finish_reason])
    clean = normalised(text)
    if not clean.strip():
        raise LLMOutputError("the answer is empty: run the cell again or use another model")
    if len(clean) > MAX_BYTES:
        raise LLMOutputError("the answer is longer than 1 MB: ask for less")
    reader = _Reader(cell=cell)
    blocks = find_blocks(clean, lambda source: reader.read(source) is not None)
    candidates = [
        *([clean, textwrap.dedent(clean)] if not _all_fenced(clean) else []),
        *_tiers(blocks, reader),
        *_half_fenced(clean),
        *_unfenced(clean, blocks, reader),
    ]
    for candidate in candidates:
        tree = reader.read(candidate)
        if tree is not None and reader.holds_code(tree):
            return _finished(_without_stray_words(candidate, tree))
    raise _refused(clean, blocks, reader)


def _all_fenced(text: str) -> bool:
    return text.lstrip().startswith(("```", "~~~"))


def _half_fenced(text: str) -> list[str]:
    """Give what stands before a fence that nothing opened."""
    fences = list(_BARE_FENCE.finditer(text))
    return [text[: fences[0].start()]] if len(fences) == 1 else []


def normalised(text: str) -> str:
    """Give an answer with LF line ends, without what a model thought before and its end tokens."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    text = _THINKING.sub("", text)
    while found := _END_TOKENS.search(text):
        text = text[: found.start()]
    return text.rstrip()


def declined(text: str) -> bool:
    """Tell whether an answer says that there will be none."""
    return _REFUSAL.search(text[:400]) is not None


def _finished(source: str) -> str:
    return source.strip("\n").rstrip() + "\n"


def _does_something(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, (ast.Call, ast.Await))
    if isinstance(statement, ast.AnnAssign):
        # `Note: this` parses as an annotation.
        return statement.value is not None
    return not isinstance(statement, ast.Pass)


def _without_stray_words(source: str, tree: ast.Module) -> str:
    """Drop a greeting such as `Sure` or `python` in front that parses as a name."""
    for statement in tree.body:
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Name)):
            if statement is tree.body[0]:
                return source
            start = min([statement.lineno, *(d.lineno for d in _decorators(statement))])
            return "\n".join(source.split("\n")[start - 1 :])
    return source


def _decorators(statement: ast.stmt) -> list[ast.expr]:
    return list(getattr(statement, "decorator_list", ()))


# -- blocks --------------------------------------------------------------------------------------


def _tiers(blocks: Sequence[Block], reader: _Reader) -> Iterable[str]:
    for kind in ("python", "untagged", "unknown"):
        parsed = [
            (source, tree)
            for block in blocks
            if block.kind == kind
            for source, tree in _readings(block.text, reader)
            if reader.holds_code(tree)
        ]
        if parsed:
            yield _chosen(parsed, reader)


def _readings(text: str, reader: _Reader) -> list[tuple[str, ast.Module]]:
    """Read a block as it stands, or without what is no Python around and between its code."""
    readings = [textwrap.dedent(text), _without_commands(text), _without_prompts(text)]
    for source in dict.fromkeys([text, *readings, _before_glued_fence(text, reader)]):
        tree = reader.read(source)
        if tree is not None:
            return [(source, tree)]
    return []


def _without_commands(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if not _MAGIC_LINE.match(line))


def _without_prompts(text: str) -> str:
    """Give the code of a session that defines something and shows nothing."""
    lines = [line for line in text.split("\n") if line.strip()]
    whole = all(map(_PROMPT.match, lines)) and _PROMPTED_DEFINITION.search(text)
    return _PROMPT.sub("", text) if whole else text


def _before_glued_fence(text: str, reader: _Reader) -> str:
    """Give what stands before a closing fence that has no line of its own."""
    fence = _GLUED_FENCE.search(text)
    if fence is None or reader.looks_like_code(text[fence.end() :]):
        return text
    return text[: fence.start()]


def _chosen(parsed: list[tuple[str, ast.Module]], reader: _Reader) -> str:
    if len(parsed) == 1:
        return parsed[0][0]
    defined = [_defined(tree) for _, tree in parsed]
    everything = set().union(*defined)
    modules = [
        (source, names)
        for (source, tree), names in zip(parsed, defined, strict=True)
        if not _is_usage(tree, everything - names)
        and (names or not (_only_shows(tree, everything) or not everything))
    ]
    if not modules:
        return max((source for source, _ in parsed), key=len)
    count = sum(len(names) for _, names in modules)
    if count == len(everything):
        joined = "\n\n".join(source.strip("\n") for source, _ in modules)
        if reader.read(joined) is not None:
            return joined
    return max((source for source, _ in modules), key=len)


def _defined(tree: ast.Module) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {statement.name for statement in tree.body if isinstance(statement, kinds)}


def _is_usage(tree: ast.Module, others: set[str]) -> bool:
    """Tell a script or a test that imports what the other blocks define."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & others:
            return True
    names = _defined(tree)
    return bool(names and others) and all(name.lower().startswith("test") for name in names)


def _only_shows(tree: ast.Module, defined: set[str]) -> bool:
    """Tell a block that shows the module at work from one that is part of it."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    calls = any(isinstance(s, ast.Expr) and isinstance(s.value, ast.Call) for s in tree.body)
    return calls or bool(used & defined)


# -- code among prose ----------------------------------------------------------------------------


def _unfenced(text: str, blocks: Sequence[Block], reader: _Reader) -> Iterable[str]:
    if blocks:
        return
    lines = text.split("\n")
    starts = [i for i, line in enumerate(lines) if _CODE_LINE.match(line)][:_MAX_STARTS]
    if not starts:
        yield from _indented(lines)
    for start in starts:
        end = len(lines)
        while end > start:
            candidate = "\n".join(lines[start:end])
            if reader.read(candidate) is not None:
                yield candidate
                break
            shorter = _paragraph_start(lines, start, end)
            if shorter is None:
                break
            end = shorter


def _indented(lines: Sequence[str]) -> Iterable[str]:
    """Give the code that Markdown marks by its indent."""
    marked = [i for i, line in enumerate(lines) if line.startswith(("    ", "\t"))]
    if marked:
        yield textwrap.dedent("\n".join(lines[marked[0] : marked[-1] + 1]))


def _paragraph_start(lines: Sequence[str], start: int, end: int) -> int | None:
    """Find where a last paragraph of prose begins; code is never cut off."""
    while end > start and not lines[end - 1].strip():
        end -= 1
    first = end
    while first > start and lines[first - 1].strip():
        first -= 1
    while first < end and not _is_prose(lines[first]):
        first += 1
    if first >= end or not all(map(_is_prose, lines[first:end])):
        return None
    return first


def _is_prose(line: str) -> bool:
    if line[:1].isspace() or _BLOCK_LINE.match(line):
        return False
    if _CODE_LINE.match(line) and not line.startswith("#"):
        return False
    return len(_WORD.findall(line)) >= _SENTENCE_WORDS or bool(_LIST_ITEM.match(line))


# -- nothing found -------------------------------------------------------------------------------


def _refused(
    text: str, blocks: Sequence[Block], reader: _Reader
) -> LLMOutputError | VerificationError:
    for kind in ("python", "untagged", "unknown"):
        broken = [b.text for b in blocks if b.kind == kind and reader.looks_like_code(b.text)]
        if broken:
            return _broken(max(broken, key=len))
    if not blocks and not declined(text) and reader.looks_like_code(text):
        lines = text.split("\n")
        first = next(i for i, line in enumerate(lines) if reader.is_code_line(line))
        return _broken("\n".join(lines[first:]))
    first_line = next(line.strip() for line in text.split("\n") if line.strip())
    if declined(text):
        return LLMOutputError(f"the model declined: {first_line[:120]}")
    return LLMOutputError(
        f"the answer holds no Python code, it begins {first_line[:80]!r}: say more of what you "
        "want, or use another model"
    )


def _broken(source: str) -> VerificationError:
    source = _finished(textwrap.dedent(source))
    try:
        parse_module(source)
    except VerificationError as error:
        return error
    return VerificationError(
        "the answer's code does nothing", findings=("the code does nothing",), source=source
    )
