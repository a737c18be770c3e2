"""What is mended without asking anybody; it is checked like any other answer."""

from __future__ import annotations

import pytest
from scripted import fenced, scripted

from llmport_magic import llmport, update
from llmport_magic.errors import VerificationError
from llmport_magic.modules.mending import (
    add_missing_imports,
    drop_own_tests,
    is_better,
    mend,
    name_as_called,
)
from llmport_magic.modules.verdict import ExampleOutcome, Verdict

FAILED = Verdict(safety="clean", proof="failed", findings=("line 1: wrong",))
BROKEN = Verdict(safety="clean", proof="failed", findings=("line 9: AssertionError",), broken=True)
UNDEFINED = "NameError: name '{}' is not defined"


@pytest.mark.parametrize(
    ("source", "name", "line"),
    [
        ("def f(r):\n    return math.pi * r\n", "math", "import math"),
        ("def f(x):\n    return Counter(x)\n", "Counter", "from collections import Counter"),
        ("def f(x) -> List[int]:\n    return x\n", "List", "from typing import List"),
        ("def f():\n    return datetime.now()\n", "datetime", "from datetime import datetime"),
        ("def f():\n    return datetime.date(1, 1, 1)\n", "datetime", "import datetime"),
        ("@dataclass\nclass A:\n    x: int\n", "dataclass", "from dataclasses import dataclass"),
    ],
)
def test_a_forgotten_import_is_added(source, name, line):
    """A name of the standard library that is not defined is imported (S0-34)."""
    mended = add_missing_imports(source, ("f(1) failed: " + UNDEFINED.format(name),))

    assert mended == f"{line}\n{source}"
    compile(mended, "m", "exec")


def test_imports_go_below_docstring_and_future_imports():
    """The docstring stays the docstring, and `__future__` imports stay first (S0-34)."""
    source = '"""About circles,\nand more."""\nfrom __future__ import annotations\n\nX = math.pi\n'
    mended = add_missing_imports(source, (UNDEFINED.format("math"),))
    space = {}
    exec(compile(mended, "m", "exec"), space)

    assert space["__doc__"] == "About circles,\nand more."
    assert space["X"] > 3


def test_all_forgotten_imports_are_added_at_once():
    """An error tells of the first missing name only; all of them are imported (S0-34)."""
    source = "def f(x):\n    return json.dumps(re.findall('a', x)) + dedent('')\n"
    mended = add_missing_imports(source, (UNDEFINED.format("json"),))

    assert mended.startswith("from textwrap import dedent\nimport json\nimport re\n")


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        ("def f():\n    return np.zeros(3)\n", UNDEFINED.format("np")),
        ("def f():\n    return helper()\n", UNDEFINED.format("helper")),
        ("def f():\n    return math.pi\n", "expected 3, got 4"),
        ("def f(:\n    return math.pi\n", UNDEFINED.format("math")),
        ("def f():\n    return 1\n", ""),
    ],
)
def test_nothing_else_is_touched(source, finding):
    """Only names of the standard library, and only when the check missed one (S0-34)."""
    assert add_missing_imports(source, (finding,)) is None


def test_names_that_the_module_binds_are_not_imported():
    """A name that the module uses as its own variable is left alone (S0-34)."""
    source = "def f(count, date):\n    string = count\n    return math.sqrt(string), date\n"

    assert add_missing_imports(source, (UNDEFINED.format("math"),)) == f"import math\n{source}"


def test_a_function_that_took_the_modules_name_gets_its_own():
    """The one name that the examples call and nobody defines is what was meant (S0-43)."""
    source = (
        'def line(xs):\n    """A line."""\n    return line(xs[1:]) if xs else line.x\n\n'
        "def at(x):\n    return line([x]), 'line', at.line\n"
    )
    meant = (
        'def fit(xs):\n    """A line."""\n    return fit(xs[1:]) if xs else fit.x\n\n'
        "def at(x):\n    return fit([x]), 'line', at.line\n"
    )

    assert name_as_called(source, "line", ("fit", "at")) == (meant, "fit")


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("def line(x):\n    return x\n", ("line",)),
        ("def line(x):\n    return x\n", ("fit", "at")),
        ("def line(x):\n    return x\n\ndef fit(x):\n    return x\n", ("fit",)),
        ("def line(x):\n    return x\n\nclass A:\n    def fit(x):\n        pass\n", ("fit",)),
        ("class line:\n    pass\n", ("fit",)),
        ("def line(x):\n    return x\n\ndef at(line):\n    return line\n", ("fit",)),
        ("def line(x):\n    return f'{line(x)}'\n", ("fit",)),
        ("def line(x):\n    return g(line=x)\n", ("fit",)),
        ("def line(x):\n    return x\n\nfit = line\n", ("fit",)),
        ("def line(x:\n", ("fit",)),
    ],
)
def test_nothing_is_renamed_where_it_is_not_certain(source, wanted):
    """A name that is wanted, several that are missing, or another kind of thing stay (S0-43)."""
    assert name_as_called(source, "line", wanted) is None


def test_a_modules_own_tests_are_taken_out_where_it_fails_to_import():
    """Bare calls and asserts at the top level go, whatever defines something stays (S0-43)."""
    source = (
        "import math\n\ndef area(r):\n    return math.pi * r\n\nUNIT = area(1)\n"
        "assert area(1) == 4, 'no'\nprint(area(2))\n"
        "for r in (1, 2):\n    print(area(r))\n    assert r\n"
        "if UNIT:\n    SIZE = 1\nelse:\n    print(2)\n"
        "if __name__ == '__main__':\n    area(3)\n"
    )
    kept = source[: source.index("assert")] + source[source.index("if UNIT") :]
    kept = kept[: kept.index("if __name__")]

    assert drop_own_tests(source) == kept
    assert drop_own_tests(kept) is None
    assert drop_own_tests("x = 1; print(x)\n") is None
    assert drop_own_tests("print(1\n") is None
    assert drop_own_tests("import os\nos.system('x')\n") is None
    assert drop_own_tests("import sys\ndef f():\n    pass\nprint(f(), sys.exit())\n") is None
    assert drop_own_tests("print(open('x').read())\n") is None
    assert mend(source, BROKEN, module="m", wanted=()) is None
    taken = "def line(x):\n    return x\n"
    assert mend(taken, FAILED, module="line", wanted=("fit",)) is not None
    assert mend(taken, FAILED, module="", wanted=("fit",)) is None
    assert mend(source, FAILED, module="m", wanted=("area",)) is None
    mended = mend(source, BROKEN, module="m", wanted=("area",))
    assert mended is not None
    assert (mended.source, len(mended.told)) == (kept, 1)


def test_what_is_mended_must_get_further():
    """A mended module is taken where it imports or passes more, not where it is only other."""
    one = ExampleOutcome(source="a()", status="passed")
    passing = Verdict(safety="clean", proof="failed", findings=("b",), examples=(one,))

    assert is_better(FAILED, BROKEN)
    assert is_better(passing, FAILED)
    assert not is_better(FAILED, FAILED)
    assert not is_better(BROKEN, FAILED)
    assert not is_better(Verdict(safety="refuse", proof="failed", examples=(one,)), BROKEN)


def test_a_mended_answer_passes_without_a_second_call(tmp_path):
    """An answer that took the module's name and tests itself wrongly costs one call (S0-43)."""
    prompt = "`size(text)` gives its length.\n\n>>> size('ab')\n2\n"
    answer = "def long(text):\n    return len(text)\n\n\nassert long('a') == 2\n"
    with scripted(fenced(answer)) as script, pytest.warns(UserWarning, match="`long`|own") as told:
        module = llmport("long", prompt, provider="scripted", module_dir=str(tmp_path))

    assert {str(one.message).partition(" ")[0] for one in told} >= {"`long`", "the"}
    assert script.calls == 1
    assert module.size("abc") == 3
    assert "def size(text)" in (tmp_path / "long.py").read_text(encoding="utf-8")


def test_an_update_renames_nothing_that_was_there(tmp_path):
    """A function that has the module's name since an earlier version keeps it (S0-07, S0-43)."""
    there = "def extent(text):\n    return len(text)\n"
    given = {"provider": "scripted", "module_dir": str(tmp_path)}
    with scripted(*[fenced(there)] * 6):
        module = llmport("extent", "Its length.\n\n>>> extent.extent('ab')\n2\n", **given)
        with pytest.raises(VerificationError, match="size"):
            update("extent", "Add `size`.\n\n>>> size('ab')\n2\n", **given)

    assert module.extent("abc") == 3
