"""The line of a finding holds what was found, however the code is laid out."""

from __future__ import annotations

import re

import pytest
from counting import LINEAR, growth
from hypothesis import given, settings
from hypothesis import strategies as st

from llmport_magic.modules.policy.review import assess

# Constructs, each with the word that has to stand in the finding's line.
CONSTRUCTS = {
    "f.__globals__": "__globals__",
    "(f\n  .g\n  .__subclasses__())": "__subclasses__",
    "eval('1')": "eval",
    "sys._getframe(\n  1\n)": "_getframe",
    "getattr(\n  x,\n  a + b,\n)": "getattr",
    "getattr(x,\n  '__glo'\n  'bals__')": "getattr|'__glo'",
    'f("""\n\n{0.__globals__}\n""")': "__globals__",
    'f"""\n{a}\n{b.__code__}\n"""': "__code__",
    "os._exit(0)": "_exit",
    "[\n  1,\n  ctypes.CDLL,\n  ctypes.CDLL('x'),\n]": "CDLL",
    "globals()[\n  n\n]": "globals",
    "(lambda: (\n  1,\n  exec('x'),\n))": "exec",
}
# Ways to lay code out around a construct.
LAYOUTS = (
    "{}\n",
    "x = (\n  1,\n  {},\n)\n",
    "def f(a, b=\n  {}\n): ...\n",
    "@deco\n@other(\n  {}\n)\ndef f():\n    pass\n",
    "def f():\n    return call(1,\n        two={},\n    )\n",
    "class A(\n  Base,\n  key={}\n):\n    pass\n",
    "if a and \\\n  {}:\n    pass\n",
    "x = [\n  y\n  for y in z\n  if {}\n]\n",
    "async def f():\n    async with g({}) as h:\n        pass\n",
    "match x:\n    case 1 if (\n      {}\n    ):\n        pass\n",
    "try:\n    pass\nexcept (\n  A,\n  {}\n):\n    pass\n",
)
FILLERS = ("", "\n", "x = 1\n", "# exec os._exit\n", "'''\ntext\n'''\n", "y = (\n1,\n)\n", "\f\n")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(FILLERS), max_size=6),
    st.sampled_from(LAYOUTS),
    st.sampled_from(sorted(CONSTRUCTS)),
    st.sampled_from(["\n", "\r\n"]),
)
def test_the_line_of_a_finding_holds_the_construct(
    before: list[str], layout: str, construct: str, end: str
) -> None:
    """In any layout, every finding's line holds its word, and one is the construct's (S0-43)."""
    head = "import os, sys, ctypes\n" + "".join(before)
    source = head + layout.format(construct)
    word = re.compile(CONSTRUCTS[construct])
    start = head.count("\n") + 1
    lines = source.split("\n")
    expected = {n for n, line in enumerate(lines, 1) if n >= start and word.search(line)}

    found = {finding.line for finding in assess(source.replace("\n", end)).findings}

    assert found
    assert found <= expected
    assert all(1 <= line <= len(lines) for line in found)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("import (\n)\n".replace("import (\n)", "import json, \\\n  antigravity"), 2),
        ("from \\\n  __main__ \\\n  import x\n", 2),
        ("def f():\n    global a, \\\n        __builtins__\n", 3),
        ("import os\n(os\n  .environ\n  .update)(A='1')\n", 4),
        ("import sys\n(\n  sys.modules\n)['x'] = 1\n", 3),
        ("import json\n(\n  json\n  .loads\n) = 1\n", 4),
        ("from pathlib import Path\nx = (\n  Path('a')\n  .write_text(\n    'b')\n)\n", 4),
    ],
)
def test_the_line_is_the_construct_s_own(source: str, line: int) -> None:
    """Statements over several lines are told by the line of the word itself (S0-43)."""
    assert line in {finding.line for finding in assess(source).findings}


def _chained(count: int) -> str:
    functions = "".join(f"def f{i}():\n    f{i + 1}()\n" for i in range(count))
    return f"import os\n{functions}def f{count}():\n    os.system('x')\nf0()\n"


MORE_THAN_IS_LOOKED_AT = "f(a, b, c, d, e, f, g, h, i, j)\n" * 19_000
HUGE = {
    "functions that call each other": _chained,
    "classes that inherit": lambda count: (
        "".join(
            f"class A{i}(A{i - 1}):\n    def __init__(self): super().__init__()\n"
            for i in range(1, count)
        )
        + f"A{count - 1}()\n"
    ),
    "names given on": lambda count: "".join(f"x{i} = x{i - 1}.y()\n" for i in range(1, count)),
    "names given back": lambda count: (
        "".join(f"x{i - 1} = x{i}.y()\n" for i in range(1, count)) + "x15 = f\n"
    ),
    "long ways": lambda count: ("x = a" + ".b" * (count // 5) + "\n") * 60,
    "long sums": lambda count: ("x = " + "'a'+" * (count // 6) + "y\n") * 60,
    "an f-string of many lines": lambda count: "x = f'''" + "{a.__globals__}\n" * count + "'''\n",
    "a text of many lines": lambda count: "x = '''" + "__globals__\n" * count + "'''\n",
    "a finding in every line": lambda count: "getattr(x, a + b)\n" * count,
    "subclasses everywhere": lambda count: "def f(cls):\n" + "    cls.__subclasses__()\n" * count,
    "a table of lambdas": lambda count: "x = [" + "lambda: 1,\n" * count + "]\n",
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_huge_module_costs_no_minutes(kind: str) -> None:
    """Whatever a module repeats, what is done for it grows in proportion (S0-43)."""
    assert growth(lambda count: assess(HUGE[kind](count)), 400) < LINEAR

    assess(HUGE[kind](5_000))


def test_what_is_too_large_to_look_through_is_asked_about() -> None:
    """A module of more parts than are looked at is not taken for clean (S0-43)."""
    report = assess(MORE_THAN_IS_LOOKED_AT)

    assert report.outcome == "ask"
    assert "too large" in report.findings[0].message
    assert {found.at_import for found in report.findings} == {True, False}
