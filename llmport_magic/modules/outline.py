"""What a model needs of a module to change a part of it: an outline, and some of it in full.

The outline has the first line of every docstring, the imports, the names of the constants, and
the signatures with their decorators; `...` stands for what is left out. In full stand:

1. What the request is about: each definition whose name, or whose method's name, stands in it as
   a whole word, examples included.
2. What these use directly, in the order of the module, as long as all that stands in full is no
   longer than `FULL_TOKENS`.
3. Assignments of one line and at most 60 characters, imports, and `__all__`.

Where nothing is named, or where the excerpt has more than two thirds of the tokens of the whole,
there is no excerpt: the whole is sent. So it is for a text that does not parse.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llmport_magic.errors import VerificationError
from llmport_magic.llm.cost import estimate_tokens
from llmport_magic.modules.statements import (
    DEFINITIONS,
    FUNCTIONS,
    IMPORTS,
    MAIN,
    Statement,
    methods_of,
    names_of,
    read_statements,
)

FULL_TOKENS = 4_000
_MOST_OF_WHOLE = 2 / 3
_SHORT = 60
_WORD = re.compile(r"[^\W\d]\w*")
_LINE = re.compile(r"\bline (\d+)\b")
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What is sent of a module.

    Attributes:
        source: the whole module, which the answer is put into.
        text: what is sent of it.
        shown: the top-level names that stand in the text as they are.
    """

    source: str
    text: str
    shown: frozenset[str]


def excerpt(source: str, about: str, *, also: Collection[str] = ()) -> Excerpt | None:
    """Give what is needed of a module, or `None` where the whole is to be sent.

    Args:
        source: the module; it is read and never executed.
        about: the request, without the module's own name before a dot.
        also: top-level names that stand in full, too.
    """
    try:
        statements = read_statements(source)
        named = _named(statements, {*_WORD.findall(about), *also})
        if not named:
            return None
        full = {id(each) for each in (*named, *_used_by(named, statements))}
        parts = [_part(each, full=id(each) in full) for each in statements]
    except (VerificationError, RecursionError):
        return None
    text = "".join(_joined(statements, parts))
    if estimate_tokens(text) > _MOST_OF_WHOLE * estimate_tokens(source):
        return None
    shown = [
        each.names for each, part in zip(statements, parts, strict=True) if part.endswith(each.text)
    ]
    return Excerpt(source, text, frozenset().union(*shown))


def changed_names(old: str, new: str) -> frozenset[str]:
    """Name what a text binds at its top level otherwise than the one before it."""
    try:
        before = {each.text for each in read_statements(old)}
        after = read_statements(new)
    except VerificationError:
        return frozenset()
    return frozenset(name for each in after if each.text not in before for name in each.names)


def with_lines(findings: Sequence[str], source: str) -> tuple[str, ...]:
    """Quote the line that a finding counts: who has only an excerpt cannot count lines."""
    lines = source.split("\n")
    try:
        statements = read_statements(source)
    except VerificationError:
        statements = ()

    def quoted(finding: str) -> str:
        told = _LINE.search(finding)
        number = int(told[1]) - 1 if told else -1
        if not 0 <= number < len(lines):
            return finding
        around = [each for each in statements if each.first <= number < each.end]
        where = "".join(f", in `{name}`" for each in around for name in sorted(each.names)[:1])
        return f"{finding}; that line is `{lines[number].strip()}`{where}"

    return tuple(map(quoted, findings))


def _named(statements: Sequence[Statement], words: Collection[str]) -> list[Statement]:
    return [
        each
        for each in statements
        if not each.is_import and (each.names | _plain_methods(each.node)) & set(words)
    ]


def _plain_methods(node: ast.stmt) -> set[str]:
    return {name for name in methods_of(node) if not name.startswith("__")}


def _used_by(named: Sequence[Statement], statements: Sequence[Statement]) -> Iterator[Statement]:
    wanted = names_of(each.node for each in named)
    left = FULL_TOKENS - sum(estimate_tokens(each.text) for each in named)
    for each in statements:
        if each in named or each.is_import or not each.names & wanted:
            continue
        tokens = estimate_tokens(each.text)
        if tokens <= left:
            left -= tokens
            yield each


def _part(statement: Statement, *, full: bool) -> str:
    """Give a statement as it is, with the comment above it, or its outline."""
    text, node = statement.text, statement.node
    short = isinstance(node, _ASSIGNMENTS) and "\n" not in text and len(text) <= _SHORT
    if full or short or statement.is_import or "__all__" in statement.names:
        return statement.commented
    if statement.is_docstring:
        return ast.unparse(ast.Module([_first_line(node)], []))
    if isinstance(node, (*DEFINITIONS, *_ASSIGNMENTS)):
        return ast.unparse(_outlined(node))
    if MAIN in statement.names:
        return f"{text.splitlines()[0]}\n    ..."
    if "\n" not in text:
        return text
    bound = ", ".join(sorted(statement.names))
    return f"# left out: {text.splitlines()[0]}" + (f" … that binds {bound}" if bound else "")


def _joined(statements: Sequence[Statement], parts: Sequence[str]) -> Iterator[str]:
    for number, (statement, part) in enumerate(zip(statements, parts, strict=True)):
        before = statements[number - 1].node
        tight = any(
            isinstance(statement.node, kinds) and isinstance(before, kinds)
            for kinds in (IMPORTS, _ASSIGNMENTS)
        )
        yield ("" if not number else "\n" if tight else "\n\n") + part
    yield "\n"


# -- the outline of one definition ---------------------------------------------------------------


def _outlined(node: Any) -> Any:
    """Give a definition or an assignment with `...` for its body or value."""
    if isinstance(node, _ASSIGNMENTS):
        return _with(node, value=_dots()) if node.value is not None else node
    if isinstance(node, FUNCTIONS):
        return _with(node, body=[*_docstring(node), ast.Expr(_dots())])
    inner = [
        _outlined(each) for each in node.body if isinstance(each, (*DEFINITIONS, *_ASSIGNMENTS))
    ]
    return _with(node, body=[*_docstring(node), *inner] or [ast.Expr(_dots())])


def _docstring(node: Any) -> list[ast.stmt]:
    has_one = ast.get_docstring(node, clean=False) is not None
    return [_first_line(node.body[0])] if has_one else []


def _first_line(node: Any) -> ast.stmt:
    text = str(node.value.value).strip()
    return ast.Expr(ast.Constant(text.splitlines()[0].rstrip() if text else ""))


def _dots() -> ast.expr:
    return ast.Constant(...)


def _with(node: Any, **changed: Any) -> Any:
    """Copy a node with other fields; its line numbers are kept."""
    copy = type(node)(**{**dict(ast.iter_fields(node)), **changed})
    return ast.copy_location(copy, node)


# -- what a definition lacks ---------------------------------------------------------------------


def is_left_out(node: ast.stmt) -> bool:
    """Tell what stands as the outline shows it, with `...` for its body or value."""
    if isinstance(node, _ASSIGNMENTS):
        return node.value is None or _is_dots(node.value)
    if isinstance(node, FUNCTIONS):
        return _has_no_body(node)
    if isinstance(node, ast.ClassDef):
        inner = [n for n in node.body if isinstance(n, (*DEFINITIONS, *_ASSIGNMENTS))]
        return all(map(is_left_out, inner))
    return isinstance(node, ast.If) and all(map(_is_dots, node.body))


def lost(old: ast.AST, new: ast.AST, name: str) -> Iterator[str]:
    """Name what a new text lacks: methods of a class, and bodies that became `...`.

    Args:
        old: the definition as it was.
        new: the one that is to stand in its place.
        name: how it is called.
    """
    if isinstance(old, FUNCTIONS) and isinstance(new, FUNCTIONS):
        if _has_no_body(new) and not _has_no_body(old):
            yield name
    elif isinstance(old, ast.ClassDef) and isinstance(new, ast.ClassDef):
        has = methods_of(new)
        for each, method in methods_of(old).items():
            if each not in has:
                yield f"{name}.{each}"
            else:
                yield from lost(method, has[each], f"{name}.{each}")


def _has_no_body(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    body = node.body[ast.get_docstring(node, clean=False) is not None :]
    return all(map(_is_dots, body))


def _is_dots(node: ast.AST) -> bool:
    inner = node.value if isinstance(node, ast.Expr) else node
    return isinstance(inner, ast.Constant) and inner.value is ...
