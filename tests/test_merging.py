"""Putting an answer that holds only what changes into the module: the rest stays to the letter."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ordinary_modules import ORDINARY

from llmport_magic.errors import VerificationError
from llmport_magic.modules.merging import merge
from llmport_magic.modules.version import normal_text

SHAPES = '''#!/usr/bin/env python
"""Shapes."""

import math

TAU = 6  # about


# the area
# of a circle
def area(r):
    """Area."""
    return 3 * r * r  # rough


class Stack:
    def push(self, x): return x
    def pop(self): return 2


def old(): pass


if __name__ == "__main__":
    print(area(2))
'''


def merged_with(*changes: tuple[str, str]) -> str:
    """Give the shapes with some of their text replaced, each of which stands there once."""
    text = SHAPES
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


AREA = 'def area(r):\n    """Area."""\n    return 3 * r * r  # rough\n'
BETTER = "@cached\ndef area(r, *, exact=True):\n    return math.pi * r**2\n"


def test_a_definition_stands_in_its_place() -> None:
    """A changed definition replaces its old text; comments and gaps around it stay (S3-61)."""
    assert merge(SHAPES, BETTER) == merged_with((AREA, BETTER))
    assert merge(SHAPES, "TAU = 2 * math.pi\n") == merged_with(
        ("TAU = 6  # about", "TAU = 2 * math.pi")
    )


def test_what_is_new_finds_its_place() -> None:
    """Imports stand by the imports, constants by the constants, the rest before `main` (S3-61)."""
    answer = """from __future__ import annotations
from math import pi, sqrt
import math

SMALL = 1e-9


# a part of it
def sector(r, d):
    return area(r) * d / 360
"""
    sector = "# a part of it\ndef sector(r, d):\n    return area(r) * d / 360\n\n\n"
    assert merge(SHAPES, answer) == merged_with(
        ('"""Shapes."""\n', '"""Shapes."""\n\nfrom __future__ import annotations\n'),
        ("import math\n", "import math\nfrom math import pi, sqrt\n"),
        ("TAU = 6  # about\n", "TAU = 6  # about\nSMALL = 1e-9\n"),
        ("if __name__", f"{sector}if __name__"),
    )


def test_what_is_imported_already_is_not_imported_again() -> None:
    """Of an import only the names that are missing are added (S3-61)."""
    source = "from typing import Any\nimport os\n\nx: Any = 1\n"
    assert merge(source, "from typing import Any, Final\nimport os\nimport os.path\n") == (
        "from typing import Any\nimport os\n"
        "from typing import Final\nimport os.path\n\nx: Any = 1\n"
    )


@pytest.mark.parametrize(
    ("source", "merged"),
    [
        ("x = 1\n", "import re\n\nx = 1\n"),
        ("def f(): pass\n", "import re\n\n\ndef f(): pass\n"),
        ('"""D."""\nx = 1\n', '"""D."""\n\nimport re\n\nx = 1\n'),
        ("# Licence\n\n# why\nx = 1\n", "# Licence\n\nimport re\n\n# why\nx = 1\n"),
        ("#!/bin/python\nx = 1\n", "#!/bin/python\n\nimport re\n\nx = 1\n"),
        ("", "import re\n"),
    ],
)
def test_a_first_import_stands_behind_what_must_be_first(source: str, merged: str) -> None:
    """An import goes behind `#!`, a licence and the docstring, with a gap around it (S3-61)."""
    assert merge(source, "import re\n") == merged


def test_what_is_needed_at_import_stands_before_it() -> None:
    """A new decorator, base or default value stands before the definition that needs it (S3-61)."""
    answer = """class Base: pass


def deco(f): return f


@deco
def area(r): return r


class Stack(Base):
    def push(self, x): return x
    def pop(self): return 3
"""
    text = merge(SHAPES, answer)
    namespace: dict[str, object] = {}
    exec(compile(text, "shapes", "exec"), namespace)
    assert text.index("def deco") < text.index("# the area\n# of a circle\n@deco")
    assert text.index("class Base") < text.index("class Stack(Base)")
    assert namespace["area"](7) == 7  # type: ignore[operator]


def test_a_table_of_definitions_stands_behind_them() -> None:
    """A new assignment that needs the module's definitions comes after them (S3-61)."""
    text = merge(SHAPES, "OPS = {'area': area, 'sector': sector}\n\ndef sector(r): return r\n")
    assert text.index("def old") < text.index("OPS =")
    exec(compile(merge("def a(): pass\n", "OPS = [a]\n"), "m", "exec"), {})


def test_del_takes_a_definition_out() -> None:
    """`del NAME` removes it with its comment and one of the gaps; nothing else goes (S3-61)."""
    assert merge(SHAPES, "del old\n") == merged_with(("def old(): pass\n\n\n", ""))
    assert merge(SHAPES, "del area, TAU\n") == merged_with(
        ("# the area\n# of a circle\n" + AREA, ""), ("TAU = 6  # about\n\n\n\n\n", "\n")
    )
    assert merge("a = 1\nb = 2\n", "del b\n") == "a = 1\n"


def test_a_method_goes_only_where_it_is_named() -> None:
    """A class that lacks a method needs `del CLASS.METHOD`; a new one needs nothing (S3-61)."""
    less = "class Stack:\n    def push(self, x): return x + 1\n"
    with pytest.raises(VerificationError, match=r"`Stack\.pop`"):
        merge(SHAPES, less)
    text = merge(SHAPES, f"del Stack.pop\n\n{less}    def peek(self): return 3\n")
    assert "def pop" not in text
    assert "del " not in text
    assert "def peek" in text


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("def push(self, x): return 0\n", "`push` stands alone: give the whole class `Stack`"),
        ("def area(r):\n    '''Area.'''\n    ...\n", "it leaves out `area`"),
        ("class Stack:\n    def push(self, x): return 1\n    def pop(self): ...\n", "`Stack.pop`"),
        ("del nothing\n", "names nothing"),
        ("del Stack.pop\n", "give `Stack` whole"),
        ("from numpy import area\n", "imports `area`"),
        ("if TAU:\n    def area(r): return 0\n", "`area` stands in one statement"),
        ("def old(): return 1\n", "`old`, whose text was not given"),
        ("def area(r):\nreturn 1\n", "line 2"),
    ],
)
def test_an_answer_that_cannot_be_put_in_says_why(answer: str, why: str) -> None:
    """What would lose or guess something is refused, with the answer's own text kept (S3-61)."""
    with pytest.raises(VerificationError) as caught:
        merge(SHAPES, answer, {"area", "Stack", "TAU", "math"})
    assert why in "; ".join(caught.value.findings)
    assert caught.value.source == answer


def test_what_was_left_out_may_come_back_left_out() -> None:
    """An answer that repeats the outline's `...` around its change changes only that (S3-61)."""
    echo = f'"""Other."""\n\nimport math\n\nTAU = ...\n\n{BETTER}\n\ndef old():\n    ...\n'
    assert merge(SHAPES, echo, {"area", "math"}) == merged_with((AREA, BETTER))
    with pytest.raises(VerificationError, match="leaves everything out"):
        merge(SHAPES, "def old():\n    ...\n", {"area"})


def test_names_that_are_bound_several_times() -> None:
    """Overloads are replaced one by one, and only where the answer has all of them (S3-61)."""
    source = (
        "@overload\ndef f(a: int): ...\n\n# and\n"
        "@overload\ndef f(a: str): ...\ndef f(a): return a\n"
    )
    assert merge(source, source.replace("# and\n", "").replace("return a", "return 2")) == (
        source.replace("return a", "return 2")
    )
    with pytest.raises(VerificationError, match="3 times"):
        merge(source, "def f(a): return 2\n")
    assert (
        merge("x = 1\ndef f(a): pass\ny = 2\n", source.replace("# and\n", "")).count("def f") == 3
    )


def test_statements_on_one_line_are_left_alone() -> None:
    """Where two statements share a line, neither can be replaced; both can stay (S3-61)."""
    with pytest.raises(VerificationError, match="shares a line"):
        merge("a = 1; b = 2\n", "a = 3\n")
    assert merge("a = 1; b = 2\n", "c = 3; d = 4\n") == "a = 1; b = 2\nc = 3\nd = 4\n"


def test_blocks_are_replaced_as_a_whole() -> None:
    """A `try` around an import, or an `if`, is replaced by the one that binds as much (S3-61)."""
    source = "try:\n    import numpy as np\nexcept ImportError:\n    np = None\n\nx = 1\n"
    changed = source.replace("np = None", "np = 0").removesuffix("\nx = 1\n")
    assert merge(source, changed) == f"{changed}\nx = 1\n"
    main = "if __name__ == '__main__':\n    print(1)\n"
    assert merge(SHAPES, main) == SHAPES[: SHAPES.index("if __name__")] + main
    assert merge("x = 1\n", main) == f"x = 1\n{main}"


# -- the corpus, and generated modules -------------------------------------------------------------


def definitions(source: str) -> list[ast.stmt]:
    """Give the top-level definitions of a module, with the line where each begins."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node for node in ast.parse(source).body if isinstance(node, kinds)]


def text_of(source: str, node: ast.stmt) -> tuple[int, int]:
    """Give the first line of a definition and the line after its last."""
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])  # type: ignore[attr-defined]
    return first - 1, node.end_lineno or 0


@pytest.mark.parametrize("source", ORDINARY.values(), ids=ORDINARY)
def test_each_definition_of_ordinary_modules_can_be_replaced(source: str) -> None:
    """A changed definition goes in and its own comes back, and all else stays (S3-61)."""
    lines = normal_text(source).split("\n")
    for node in definitions(source):
        first, end = text_of(source, node)
        own = "\n".join(lines[first:end])
        margin = next(line for line in reversed(lines[first:end]) if line.strip())
        if margin.startswith((" ", "\t")):
            indent = " " * node.body[0].col_offset if len(lines[first:end]) > 1 else "    "  # type: ignore[attr-defined]
            changed = f"{own}\n{indent}'changed'"
        else:
            changed = own + "; 'changed'"
        assert merge(source, own) == normal_text(source)
        there = merge(source, changed)
        assert there.split("\n")[:first] == lines[:first]
        assert there.split("\n")[first + changed.count("\n") + 1 :] == lines[end:]
        assert changed in there
        assert merge(there, own) == normal_text(source)


@pytest.mark.parametrize("source", ORDINARY.values(), ids=ORDINARY)
def test_an_ordinary_module_put_into_itself_is_itself(source: str) -> None:
    """A whole module as the answer changes nothing in itself, to the letter (S3-61)."""
    assert merge(source, source) == normal_text(source)


NAMES = st.sampled_from(["alpha", "beta", "gamma", "delta", "Épsilon", "_zeta"])
COMMENTS = st.sampled_from(
    ["", "# a comment\n", "# one\n# two\n", "    # indented\n", "\n# apart\n\n"]
)
BODIES = st.sampled_from(
    [
        "    return 1",
        '    """Doc.\n\nAt the margin.\n"""\n    return "\\n"',
        "    x = [\n1,\n]\n    return x",
    ]
)


@st.composite
def pieces(draw: st.DrawFn, name: str) -> str:
    """Write one statement that binds this name."""
    body = draw(BODIES)
    return draw(
        st.sampled_from(
            [
                f"def {name}(a, b=2):\n{body}",
                f"@staticmethod\n@(lambda f: f)\nasync def {name}():\n{body}",
                f"class {name}(object):\n    def m(self):\n        return 1  # why",
                f"{name} = 1  # why",
                f"{name}: int = (\n    2\n)",
                f'{name} = """\ndef inner():\n    pass\n"""',
                f"import os.path as {name}",
            ]
        )
    )


@st.composite
def modules(draw: st.DrawFn) -> list[tuple[str, str, str, str]]:
    """Write a module as parts: the name, what stands above, the statement, and what follows."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    gaps = st.sampled_from(["\n", "\n\n", "\n\n\n", "\n\n\n\n"])
    return [(n, draw(COMMENTS), draw(pieces(n)), draw(gaps)) for n in names]


def whole(parts: list[tuple[str, str, str, str]]) -> str:
    """Put the parts together."""
    return normal_text(
        '"""Doc."""\n' + "".join(above + text + gap for _, above, text, gap in parts)
    )


@settings(deadline=None, max_examples=150)
@given(modules(), st.data())
def test_everything_else_stays_to_the_letter(
    parts: list[tuple[str, str, str, str]], data: st.DataObject
) -> None:
    """Whatever replaces a definition of a generated module, all other text stays (S3-61)."""
    number = data.draw(st.integers(0, len(parts) - 1))
    name, above, text, gap = parts[number]
    changed = data.draw(pieces(name).filter(lambda new: not new.startswith("import")))
    merged = merge(whole(parts), changed)
    if not text.startswith("import") or changed == text:
        assert merged == whole([*parts[:number], (name, above, changed, gap), *parts[number + 1 :]])
    else:
        assert ast.dump(ast.parse(changed).body[0]) in ast.dump(ast.parse(merged))
    assert merge(merged, changed) == merged


@settings(deadline=None, max_examples=150)
@given(modules(), st.data())
def test_an_own_definition_changes_nothing(
    parts: list[tuple[str, str, str, str]], data: st.DataObject
) -> None:
    """Putting statements of a generated module into it is no change at all (S3-61)."""
    own = data.draw(st.lists(st.sampled_from([text for _, _, text, _ in parts]), unique=True))
    source = whole(parts)
    assert merge(source, "\n\n".join([*own, "pass"])) == source


@settings(deadline=None, max_examples=100)
@given(modules(), st.data())
def test_what_is_new_moves_nothing(
    parts: list[tuple[str, str, str, str]], data: st.DataObject
) -> None:
    """A new statement adds lines to a generated module and takes none away (S3-61)."""
    new = data.draw(pieces("brand_new"))
    source = whole(parts)
    lines = merge(source, new).split("\n")
    for line in new.split("\n"):
        assert line in lines
    left = iter(lines)
    assert all(line in left for line in source.rstrip("\n").split("\n"))
