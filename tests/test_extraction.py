"""The module is found in whatever an answer looks like, and only whole Python is taken."""

from __future__ import annotations

import ast
import sys

import pytest
from counting import LINEAR, growth
from hypothesis import given, settings
from hypothesis import strategies as st

from llmport_magic.errors import LLMOutputError, VerificationError
from llmport_magic.modules import gate
from llmport_magic.modules.extraction import extract_module

AREA = "import math\n\n\ndef area(r):\n    return math.pi * r * r\n"
DOCSTRING_FENCE = (
    'def area(r):\n    """Area.\n\n```python\narea(1)\n```\n    """\n    return 3.14 * r * r\n'
)
BARE_DOCSTRING_FENCE = 'def area(r):\n    """Area.\n\n```\narea(1)\n```\n"""\n    return 3 * r\n'
FSTRING_FENCE = 'def fence(code):\n    return f"""\n```\n{code}\n```\n"""\n'
PERIMETER = "def perimeter(r):\n    return 6.28 * r\n"
USAGE = "from circle import area\nprint(area(2))\n"


def _fenced(code: str, tag: str = "python", mark: str = "```") -> str:
    return f"{mark}{tag}\n{code}{mark}\n"


SHAPES = {
    "raw code": (AREA, AREA),
    "py tag": (_fenced(AREA, "py"), AREA),
    "capital tag": (_fenced(AREA, "Python"), AREA),
    "python3 tag": (_fenced(AREA, "python3"), AREA),
    "no tag": (_fenced(AREA, ""), AREA),
    "space before the tag": (_fenced(AREA, " python"), AREA),
    "space after the fence": (f"```python  \n{AREA}```   \n", AREA),
    "braces around the tag": (_fenced(AREA, "{.python}"), AREA),
    "attributes after the tag": (_fenced(AREA, 'python title="circle.py"'), AREA),
    "file name as tag": (_fenced(AREA, "circle.py"), AREA),
    "unknown tag": (_fenced(AREA, "code"), AREA),
    "tildes": (_fenced(AREA, "python", "~~~"), AREA),
    "four backticks": (_fenced(AREA, "python", "````"), AREA),
    "CRLF": (_fenced(AREA).replace("\n", "\r\n"), AREA),
    "CR only": (AREA.replace("\n", "\r"), AREA),
    "BOM": ("\ufeff" + AREA, AREA),
    "unterminated": (f"Here:\n```python\n{AREA}", AREA),
    "indented fence": ("1. Code:\n\n   " + _fenced(AREA).replace("\n", "\n   "), AREA),
    "fence indented, body not": (f"  ```python\n{AREA}  ```\n", AREA),
    "body indented, fence not": (
        "```python\n" + "".join(f"    {x}\n" for x in AREA.splitlines()) + "```",
        AREA,
    ),
    "prose around a fence": (f"Sure! Here it is:\n\n{_fenced(AREA)}\nHope it helps!", AREA),
    "prose before unfenced code": (f"Here is the module you asked for:\n\n{AREA}", AREA),
    "prose around unfenced code": (
        f"Here is the module:\n\n{AREA}\nThis function returns the area of a circle.\n",
        AREA,
    ),
    "a word that parses in front": (f"Sure\n\n{AREA}", AREA),
    "language name as a first line": (f"python\n{AREA}", AREA),
    "bash before python": (_fenced("pip install numpy\n", "bash") + _fenced(AREA), AREA),
    "json before python": (_fenced('{"a": 1}\n', "json") + _fenced(AREA), AREA),
    "untagged shell before python": (_fenced("mkdir circle\n", "") + _fenced(AREA), AREA),
    "tagged block preferred": (_fenced("x = 1\n" * 40, "") + _fenced(AREA), AREA),
    "usage left out": (_fenced(AREA) + "Use it:\n" + _fenced(USAGE), AREA),
    "assignment that uses it left out": (_fenced(AREA) + _fenced("a = area(2)\n"), AREA),
    "console session left out": (_fenced(">>> 1\n1\n", "pycon") + _fenced(AREA), AREA),
    "output left out": (_fenced(AREA) + "Output:\n" + _fenced("12.566\n", ""), AREA),
    "two parts joined": (_fenced(AREA) + "and\n" + _fenced(PERIMETER), f"{AREA}\n{PERIMETER}"),
    "imports and code joined": (
        _fenced("import math\n") + _fenced(AREA[13:]),
        f"import math\n\n{AREA[13:]}",
    ),
    "two alternatives: the longest": (
        _fenced("def area(r):\n    return 3 * r * r\n") + "or better\n" + _fenced(AREA),
        AREA,
    ),
    "fence in a docstring": (_fenced(DOCSTRING_FENCE), DOCSTRING_FENCE),
    "fence in a docstring, prose behind": (
        f"{_fenced(DOCSTRING_FENCE)}\nIt works.\n",
        DOCSTRING_FENCE,
    ),
    "bare fence in a docstring": (_fenced(BARE_DOCSTRING_FENCE), BARE_DOCSTRING_FENCE),
    "bare fence in a docstring, unterminated": (
        "```python\n" + BARE_DOCSTRING_FENCE,
        BARE_DOCSTRING_FENCE,
    ),
    "raw code with a fence in a docstring": (DOCSTRING_FENCE, DOCSTRING_FENCE),
    "fence in an f-string": (_fenced(FSTRING_FENCE), FSTRING_FENCE),
    "nested in four backticks": (_fenced(f"# Title\n{_fenced(AREA)}", "markdown", "````"), AREA),
    "nested in untagged four backticks": (_fenced(_fenced(AREA), "", "````"), AREA),
    "nested in a markdown block": (_fenced(f"Text\n{_fenced(AREA)}", "markdown"), AREA),
    "five fences": (
        _fenced("ls\n", "sh") * 3 + _fenced(AREA) + _fenced('{"a": 2}\n', "json"),
        AREA,
    ),
    "reasoning in front": (f"<think>\n```python\nx = 1\n```\n</think>\n{_fenced(AREA)}", AREA),
    "end token behind": (f"{AREA}<|im_end|>", AREA),
    "pip line in the block": (_fenced(f"%pip install numpy\n{AREA}"), AREA),
    "form feed": (AREA.replace("\n\n\n", "\n\f\n"), AREA.replace("\n\n\n", "\n\f\n")),
    "tabs": (AREA.replace("    ", "\t"), AREA.replace("    ", "\t")),
    "indented whole": ("".join(f"    {x}\n" for x in AREA.splitlines()), AREA),
    "closing fence glued to the code": (f"```python\n{AREA.rstrip()}```", AREA),
    "closing fence glued to the code, prose behind": (
        f"```python\n{AREA.rstrip()}```\n\nHope it helps!",
        AREA,
    ),
    "session of definitions": (
        _fenced(">>> import math\n>>>\n>>> def area(r):\n...     return math.pi * r * r\n...\n"),
        AREA,
    ),
    "session that uses it left out": (_fenced(AREA) + _fenced(">>> import circle\n"), AREA),
    "closing fence only": (f"{AREA}```\n", AREA),
    "closing fence and prose": (f"{AREA}```\nIt works.\n", AREA),
    "code by indent": (
        "**circle.py**\n\n" + "".join(f"    {x}\n" for x in AREA.splitlines()) + "\nDone.\n",
        AREA,
    ),
    "test left out": (
        _fenced(AREA) + _fenced("from circle import area\n\ndef test_area():\n    area(1)\n"),
        AREA,
    ),
    "test without import left out": (
        _fenced(AREA) + _fenced("def test_area():\n    assert area(1) > 3\n"),
        AREA,
    ),
    "a call only": (_fenced("print('hi')\n"), "print('hi')\n"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_is_extracted(shape: str) -> None:
    """Each shape of answer gives exactly the module in it, with LF line ends (S0-23)."""
    answer, module = SHAPES[shape]

    found = extract_module(answer)

    ast.parse(found)
    assert "\r" not in found
    assert [x for x in found.split("\n") if x.strip()] == [
        x for x in module.split("\n") if x.strip()
    ]
    assert found.endswith("\n")


@pytest.mark.parametrize("shape", ["raw code", "fence in a docstring", "tildes", "CRLF", "BOM"])
def test_extracted_text_is_kept_to_the_letter(shape: str) -> None:
    """A module that is one piece arrives with every blank line and space (S0-23)."""
    answer, module = SHAPES[shape]

    assert extract_module(answer) == module


@pytest.mark.parametrize(
    "answer",
    ["", "  \n\t\n", "# only\n# comments\n", "```python\n# nothing\n```", "None", "Sorry", "Done."],
)
def test_nothing_is_no_module(answer: str) -> None:
    """An empty answer, a word or only comments is an error (S0-25)."""
    with pytest.raises(LLMOutputError) as caught:
        extract_module(answer)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot write code that harms people = bad.",
        "As an AI, I am unable to do this.",
    ],
)
def test_refusal_is_named_as_one(answer: str) -> None:
    """A refusal is told as what it is, with the model's first line (S0-25)."""
    with pytest.raises(LLMOutputError, match="the model declined"):
        extract_module(answer)


@pytest.mark.parametrize("tag", ["bash", "sh", "json", "yaml", "javascript", "text-x", "console"])
def test_other_languages_are_never_taken(tag: str) -> None:
    """A block of another language is not a module, even where it parses (S0-23)."""
    code = "ls\n" if tag == "text-x" else "x = 1\n"

    with pytest.raises(LLMOutputError):
        extract_module(f"Run this:\n```{tag}\n{code}```\n")


@pytest.mark.parametrize("answer", [AREA, _fenced(AREA), "```python\n" + AREA])
def test_truncated_answer_is_no_module(answer: str) -> None:
    """A truncated answer is not written as if it were complete (S0-24)."""
    with pytest.raises(LLMOutputError, match="token limit"):
        extract_module(answer, finish_reason="length")


def test_syntax_error_keeps_the_candidate() -> None:
    """A block with a syntax error is given back with the line and the text (S0-26)."""
    with pytest.raises(VerificationError) as caught:
        extract_module("Here:\n```python\ndef area(r):\n    return r *\n```\n")

    assert caught.value.source == "def area(r):\n    return r *\n"
    assert caught.value.findings[0].startswith("line 2: SyntaxError")
    assert "\n" not in caught.value.findings[0]


def test_code_is_never_cut_off_at_what_looks_like_a_fence() -> None:
    """Broken code behind a comment that ends in a fence is a finding, no shorter module (S0-26)."""
    code = f"{AREA}# see ```x```\n\n\ndef perimeter(r):\n    return 2 *\n"

    with pytest.raises(VerificationError):
        extract_module(f"```python\n{code}```\n")


def test_code_is_never_cut_off_as_prose() -> None:
    """Unfenced code with a broken last function is a finding, not a shorter module (S0-26)."""
    with pytest.raises(VerificationError):
        extract_module(AREA + "\n\ndef perimeter(r):\n    return 2 * math.pi *\n")


@pytest.mark.parametrize(
    "code",
    [
        "x = 1\nfrom __future__ import annotations\n",
        "async for x in y:\n    pass\n",
        "print 'two'\n",
        "def f():\n\tif 1:\n        pass\n",
        "return 3\n",
    ],
)
def test_what_python_refuses_is_refused_here(code: str) -> None:
    """What only the compiler refuses is a finding with its line too (S0-26)."""
    with pytest.raises(VerificationError, match="line "):
        gate.parse_module(code)


@pytest.mark.parametrize(
    ("code", "needs"),
    [
        ("type Pair = tuple[int, int]\n", (3, 12)),
        ("def first[T](items: list[T]) -> T:\n    return items[0]\n", (3, 12)),
        ("try:\n    pass\nexcept ValueError, TypeError:\n    pass\n", (3, 14)),
        ('x = t"{1}"\n', (3, 14)),
        ('a = {"b": 1}\nx = f"{a["b"]}"\n', (3, 12)),
    ],
)
def test_newer_syntax_names_both_versions(code: str, needs: tuple[int, int]) -> None:
    """Syntax that a Python lacks names the version it needs and the one that runs (S0-26)."""
    if sys.version_info >= needs:
        assert ast.unparse(gate.parse_module(code))
        return
    with pytest.raises(VerificationError) as caught:
        gate.parse_module(code)

    here = ".".join(map(str, sys.version_info[:2]))
    told = f"needs Python {needs[0]}.{needs[1]}, this is Python {here}"
    assert told in caught.value.findings[0]


BOMBS = {
    "too long": "x = 1\n" * 200_000,
    "too many lines": "\n" * 20_001,
    "a long line": "x = '" + "a" * 100_001 + "'\n",
    "NUL": "x = 1\0\n",
    "lone surrogate": "x = '\ud800'\n",
    "control": "x = '\x1b[2J'\n",
    "bidi": "x = 'a\u202e'\n",
    "zero width": "x = 'a\u200bb'\n",
    "tag characters": "x = 'a\U000e0041'\n",
    "unstable identifier": "ﬁx = 1\n",
    "look-alike identifier": "p\u0430ypal = 1\n",
    "nested brackets": "x = " + "(" * 101 + ")" * 101 + "\n",
    "nested over lines": "x = " + "[\n" * 101 + "]\n" * 101,
    "nested with strings between": "x = " + "(')'," * 101 + ")" * 101 + "\n",
    "nested in an f-string": "x = f'{" + "(" * 101 + ")" * 101 + "}'\n",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_gate_stops_it_before_the_parser(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could harm the parser or deceive a reader never reaches `ast.parse` (S0-43)."""
    monkeypatch.setattr(gate.ast, "parse", lambda *_: pytest.fail("the parser was called"))

    with pytest.raises(VerificationError) as caught:
        gate.parse_module(BOMBS[bomb])

    assert len(caught.value.findings) == 1


@pytest.mark.parametrize(
    "bomb",
    [
        "x = " + "1+" * 40_000 + "1\n",
        "x = " + "-" * 90_000 + "1\n",
        "x = a" + ".b" * 40_000 + "\n",
        "x = " + "not " * 20_000 + "1\n",
        "x = " + "lambda:" * 10_000 + "1\n",
        "if 1:\n    pass\n" + "elif 1:\n    pass\n" * 9_000,
        "x = " + "(" * 90 + "1 if 1 else " * 5_000 + "1" + ")" * 90 + "\n",
        "'" * 50_000,
        '"""' + "a\\" * 40_000,
        "f'" + "{" * 40_000,
    ],
)
def test_parse_bomb_is_survived(bomb: str) -> None:
    """A text made to break the parser costs neither the process nor minutes (S0-43)."""
    assert gate.parses(bomb) in {True, False}


@pytest.mark.parametrize(
    "code",
    [
        "x = '👨\u200d👩\u200d👧'\n",
        "x = '❤️'\n",
        "δ = 1\nΔx = 2\nnaïve = 3\n",
        "x = '((((' * 100\n",
        "# " + "(" * 200 + "\nx = 1\n",
        "x = '" + "(" * 200 + "'\n",
        "x = '\u0645\u06cc\u200c\u062e'\n",
    ],
)
def test_gate_lets_ordinary_text_pass(code: str) -> None:
    """Emoji, other scripts and brackets in strings are nothing to stop (S0-43)."""
    assert gate.check_text(code) is None


@pytest.mark.parametrize("code", ['df["price"]', "a + b", "x.T", "[n for n in names]", "not x"])
def test_a_cell_may_be_an_expression(code: str) -> None:
    """An expression is the code of a cell and no module (S0-23)."""
    assert extract_module(code, cell=True) == f"{code}\n"
    with pytest.raises(LLMOutputError):
        extract_module(code)


@pytest.mark.parametrize("words", ["Sorry", "None", "Hello, world", "'a text'", "Try again."])
def test_words_are_no_cell(words: str) -> None:
    """Words that happen to parse are not taken for the code of a cell (S0-25)."""
    with pytest.raises(LLMOutputError):
        extract_module(words, cell=True)


def test_a_broken_cell_is_told_from_prose() -> None:
    """A cell that is no Python is an error with its text, so that it can be worked on (S0-23)."""
    with pytest.raises(VerificationError) as caught:
        extract_module("print(sum(prices)", cell=True)
    assert caught.value.source == "print(sum(prices)\n"


def test_many_fences_cost_no_minutes() -> None:
    """More fences take no more steps than in proportion, tens of thousands included (S0-23)."""

    def read(fences: int) -> None:
        with pytest.raises((LLMOutputError, VerificationError)):
            extract_module("```python\nx = (\n```\n" * fences)

    assert growth(read, 300) < LINEAR
    read(20_000)


PIECES = [
    "```python\n", "```\n", "````\n", "~~~\n", "```bash\n", "    ", "\t", "def f(x):\n", "x = 1\n",
    "    return x\n", '"""', "'''", "Here it is:\n", "I'm sorry.\n", "(", ")", "]", "\\", "#", "\n",
    "\r\n", "\r", "\f", "\0", "\ufeff", "\u202e", "\ud800", "<think>", "</think>", "import os\n",
    "{", "}", "f'", "'", '"', "lambda: ", "class A:\n", ">>> f(1)\n1\n", "<|im_end|>", "1", ",",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_any_answer_is_a_module_or_an_error_of_ours(pieces: list[str]) -> None:
    """No mixture of code, fences and prose raises anything but our own errors (S0-23)."""
    try:
        module = extract_module("".join(pieces))
    except (LLMOutputError, VerificationError) as error:
        assert "\n" not in str(error)  # noqa: PT017 - every error that is raised has one line
    else:
        compile(module, "module", "exec")
        assert gate.check_text(module) is None
