"""Examples are found in any prompt and compare by value."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmport_magic.cautions import cautions
from llmport_magic.errors import UsageError
from llmport_magic.modules import gate
from llmport_magic.modules.comparison import Observation, compare, same_text, same_value
from llmport_magic.modules.examples import (
    Example,
    parse_examples,
    refuse_unusable,
    unknown_names,
)
from llmport_magic.progress import ModuleRequest
from llmport_magic.settings import Settings


def test_examples_are_found_with_their_lines() -> None:
    """Each example has its code, its expected text and its line in the prompt (S0-43)."""
    found = parse_examples("Area.\n>>> area(2)\n12.566\n>>> x = 1\n>>> x\n1\n\nThat is all.\n")

    assert [(e.source, e.expected, e.line) for e in found] == [
        ("area(2)", "12.566", 2),
        ("x = 1", "", 4),
        ("x", "1", 5),
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        "    >>> area(2)\n    12.566\n",
        "\t>>> area(2)\n\t12.566\n",
        "> >>> area(2)\n> 12.566\n",
        "```python\n>>> area(2)\n12.566\n```\n",
        "~~~\n>>> area(2)\n12.566\n~~~\n",
        'def area(r):\n    """Area.\n\n    >>> area(2)\n    12.566\n    """\n',
        ">>> area(2)\r\n12.566\r\n",
        ">>> area(2)   \n12.566   \n\nprose\n",
        "1. such as\n\n   >>> area(2)\n   12.566\n2. else\n",
    ],
)
def test_examples_are_found_anywhere(prompt: str) -> None:
    """Indented, quoted, fenced or in a docstring, an example is one (S0-43)."""
    if "2. else" in prompt:
        prompt = prompt.replace("2. else", "\n2. else")

    found = parse_examples(prompt)

    assert [(e.source, e.expected) for e in found] == [("area(2)", "12.566")]


def test_code_goes_on_over_lines() -> None:
    """`...` lines belong to the code while it is not complete (S0-43)."""
    prompt = ">>> for i in range(2):\n...     print(i)\n...\n0\n1\n>>> f(1,\n...   2)\n3\n"

    found = parse_examples(prompt)

    assert [(e.source, e.expected) for e in found] == [
        ("for i in range(2):\n    print(i)", "0\n1"),
        ("f(1,\n  2)", "3"),
    ]


@pytest.mark.parametrize("line", ["...world", "... world"])
def test_ellipsis_begins_an_expected_text(line: str) -> None:
    """After complete code, a line of dots is what the example shall give (S0-43)."""
    found = parse_examples(f">>> hello()\n{line}\n")

    assert [(e.source, e.expected) for e in found] == [("hello()", line)]


@pytest.mark.parametrize(
    ("expected", "raises"),
    [
        ("Traceback (most recent call last):\nValueError: negative", "ValueError: negative"),
        ("Traceback (most recent call last):\n  ...\nValueError: negative", "ValueError: negative"),
        ("Traceback (most recent call last):\n    File x\nmy.OwnError", "my.OwnError"),
        ("ValueError: negative", "ValueError: negative"),
        ("ValueError", "ValueError"),
        ("raises ValueError", "ValueError"),
        ("raise KeyError: 'a'", "KeyError: 'a'"),
    ],
)
def test_expected_exceptions_are_read(expected: str, raises: str) -> None:
    """A traceback, or an error's name, is an exception that the example shall raise (S0-43)."""
    (example,) = parse_examples(f">>> area(-1)\n{expected}\n")

    assert (example.raises, example.expected) == (raises, "")


@pytest.mark.parametrize("expected", ["Error: bad input", "Warning: low", "'ValueError'", "none"])
def test_printed_text_is_no_exception(expected: str) -> None:
    """Text that only looks like an error is compared as text (S0-43)."""
    (example,) = parse_examples(f">>> tell()\n{expected}\n")

    assert example.raises is None


@pytest.mark.parametrize(
    "code",
    [
        "open('x').read()", "fetch(requests.get('u'))", "import requests", "pd.read_csv('x')",
        "df.to_csv('x')", "input()", "Path('x').write_text('y')", "f()  # doctest: +SKIP",
    ],
)  # fmt: skip
def test_example_that_needs_io_is_marked(code: str) -> None:
    """An example that reads, writes, asks or connects is not run (S0-43)."""
    (example,) = parse_examples(f">>> {code}\n1\n")

    assert example.needs_io


def test_blank_line_marker_and_comments() -> None:
    """`<BLANKLINE>` is an empty line; a comment alone is no example (S0-43)."""
    found = parse_examples(">>> # first\n>>> say()\na\n<BLANKLINE>\nb\n>>>\n")

    assert [(e.source, e.expected) for e in found] == [("say()", "a\n\nb")]


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("12.57", "12.566370614359172"),
        ("12.566", "12.566370614359172"),
        ("12.5664", "12.566370614359172"),
        ("12.566370614359172", "12.566370614359174"),
        ("4", "4.0"), ("4.0", "4"), ("1e-3", "0.00099"), ("1_000", "1000"), ("-0.5", "-0.5"),
        ("0.3", "0.30000000000000004"), ("inf", "inf"), ("-inf", "-inf"), ("nan", "nan"),
        ("(1+2j)", "(1.0+2.0j)"),
        ("{1, 2, 3}", "{3, 1, 2}"), ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}"),
        ("{'a': 0.33}", "{'a': 0.3333333333333333}"), ("[0.33, 'x']", "[0.3333333, 'x']"),
        ("{0.33: 1}", "{0.3333333: 1}"), ("{0.5, 0.25}", "{0.251, 0.504}"),
        ('"a"', "'a'"), ("[1,2]", "[1, 2]"), ("[\n 1,\n 2,\n]", "[1, 2]"), ("(1,)", "(1,)"),
        ("set()", "set()"), ("12.566  # about", "12.5661"), ("None", "None"),
        ("Point(x=1.0, y=2)", "Point(x=1.0000000001, y=2)"),
        ("Point(y=2, x=1)", "Point(x=1, y=2)"),
        ("array([1., 2.])", "array([1., 2.])"), ("frozenset({1, 2})", "frozenset({2, 1})"),
        ("Counter({'a': 2, 'b': 1})", "Counter({'b': 1, 'a': 2})"),
        ("<Foo object at 0x...>", "<Foo object at 0x7f00>"), ("[1, ..., 9]", "[1, 2, 3, 9]"),
        ("   x   y\n0  1  2", "   x  y\n0  1  2"), ("{'t': ...}", "{'t': 17.3}"),
    ],
)  # fmt: skip
def test_same_values(expected: str, got: str) -> None:
    """Order, layout and unwritten digits make no difference (S0-43)."""
    assert same_value(expected, got)


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("12.566", "12.57"), ("12.57", "12.56"), ("3", "3.1"), ("[1, 2]", "(1, 2)"),
        ("[1, 2]", "[2, 1]"), ("True", "1"), ("1", "True"), ("'1'", "1"), ("1", "'1'"),
        ("{1, 2}", "{1, 2, 3}"), ("{'a': 1}", "{'a': 2}"), ("{'a': 1}", "{'b': 1}"),
        ("[]", "()"), ("{}", "set()"), ("None", "0"), ("'a'", "'A'"), ("b'a'", "'a'"),
        ("nan", "1.0"), ("1e400", "1.0"), ("Point(x=1)", "Point(x=2)"), ("Point(x=1)", "Dot(x=1)"),
        ("Hello", "'Hello'"), ("x...z", "x y"), ("...a...b...", "b a"), ("{1: 2}", "{1, 2}"),
        ("0", "[]"), ("1" * 400, "1.5"),
    ],
)  # fmt: skip
def test_different_values(expected: str, got: str) -> None:
    """Types, order in lists, and every written digit do make one (S0-43)."""
    assert not same_value(expected, got)


def test_ellipsis_and_white_space_in_text() -> None:
    """Text compares with dots for anything and any white space (S0-43)."""
    assert same_text("a ... z", "a b c z")
    assert same_text("a\n  b", "a b")
    assert not same_text("a...a", "a")


def test_exceptions_compare_by_type_and_message() -> None:
    """An exception has to have the type, and the message where one is written (S0-43)."""
    seen = Observation(error="KeyError", message="'a'", bases=("KeyError", "LookupError"))

    assert compare(Example(source="f()", raises="KeyError: 'a'"), seen).passed
    assert compare(Example(source="f()", raises="builtins.KeyError"), seen).passed
    assert compare(Example(source="f()", raises="LookupError"), seen).passed
    assert compare(Example(source="f()", raises="KeyError: ..."), seen).passed
    assert not compare(Example(source="f()", raises="KeyError: 'b'"), seen).passed
    assert not compare(Example(source="f()", raises="ValueError"), seen).passed
    assert not compare(Example(source="f()", expected="3"), seen).passed
    assert not compare(Example(source="f()"), seen).passed
    assert not compare(Example(source="f()", raises="KeyError"), Observation(value="1")).passed


def test_printed_output_compares() -> None:
    """What is printed counts, alone or before a value (S0-43)."""
    assert compare(Example(source="f()", expected="a\nb"), Observation(printed="a\nb\n")).passed
    assert compare(Example(source="f()", expected="12.57"), Observation(printed="12.566\n")).passed
    both = Observation(printed="hi\n", value="3")
    assert compare(Example(source="f()", expected="hi\n3"), both).passed
    assert not compare(Example(source="f()", expected="3"), both).passed
    assert compare(Example(source="f()", expected="None"), Observation()).passed
    assert compare(Example(source="f()"), both).passed


def test_a_hostile_value_is_only_text() -> None:
    """A value's text that would break the parser is a difference, not an error (S0-43)."""
    assert not same_value("1", "(" * 5000)
    assert not same_value("1", "1+" * 20000 + "1")
    assert not same_value("'a'", "\0")


def test_users_variable_is_reported_before_a_call() -> None:
    """A variable of the notebook that the prompt does not speak of is unknown (S0-43)."""
    prompt = "Area of a circle.\n>>> r = 2\n>>> area(r)\n12.566\n>>> area(radius)\n3.14\n"
    names = {"radius", "r", "math"}

    assert unknown_names(parse_examples(prompt), "circle", prompt=prompt, user_names=names) == (
        "radius",
    )


@pytest.mark.parametrize(
    "prompt",
    [
        "Sum per g: `go(long)`.\n\n>>> go(long).shape\n(2, 1)\n",
        'Rows: `go(len(long), by="v")`.\n>>> go(long)\n2\n',
    ],
)
def test_what_a_call_in_the_prompt_is_given_is_no_name_of_the_module(prompt: str) -> None:
    """An argument is the notebook's; before anybody is asked, `--with` is named (S0-43)."""
    with pytest.raises(UsageError, match=r"`long`, which only your notebook .* `--with long`\Z"):
        refuse_unusable(
            parse_examples(prompt), module_name="sums", prompt=prompt, user_names={"long", "pd"}
        )


@pytest.mark.parametrize("words", ["The mean of `long`.", "A table `long`, and its mean."])
def test_a_variable_of_which_the_prompt_speaks_is_told_and_not_refused(words: str) -> None:
    """Whether the module is to define it nobody can tell: the user is, with `--with` (S0-43)."""
    prompt = f"{words}\n\n>>> mean(long)\n2.0\n"
    examples, names = parse_examples(prompt), frozenset({"long", "pd", "mean"})
    asked = ModuleRequest(name="sums", prompt=prompt, settings=Settings(), user_names=names)

    refuse_unusable(examples, module_name="sums", prompt=prompt, user_names=names)
    (note,) = cautions(asked, examples)
    assert note.text.startswith("the examples use `long`, which your notebook has, too: ")
    assert note.text.endswith("`--with long`")
    assert cautions(replace(asked, variables=frozenset({"long"})), examples) == []


@pytest.mark.parametrize(
    "prompt",
    [
        "Write `area`.\n>>> area(2)\n12.566\n",
        ">>> import circle\n>>> circle.area(2)\n12.566\n",
        ">>> import math\n>>> math.floor(area(2))\n12\n",
        ">>> [area(r) for r in (1, 2)]\n[3.14, 12.566]\n",
        ">>> other(2)\n4\n",
        "Write area(r) and use it: `each(area)`.\n>>> each(area)\n4\n",
    ],
)
def test_names_of_the_module_are_not_reported(prompt: str) -> None:
    """The module's own names, imports and loop variables are known (S0-43)."""
    names = {"area", "math", "r"}

    assert unknown_names(parse_examples(prompt), "circle", prompt=prompt, user_names=names) == ()


def test_names_are_checked_against_the_module_once_it_is_there() -> None:
    """With the source at hand, a name that it does not define is unknown (S0-43)."""
    examples = parse_examples(">>> area(2)\n12\n>>> perimeter(2)\n12\n")
    source = "def area(r):\n    return 3 * r * r\n"

    assert unknown_names(examples, "circle", source) == ("perimeter",)


TEXTS = st.lists(
    st.sampled_from(
        [">>> ", "... ", "...", "f(1)", "\n", "    ", "x = 1", "Traceback (most recent call last):",
         "for i in x:", "1.5", "{", "[1, 2]", "\r\n", "> ", "await g()", "# doctest: +SKIP",
         "ValueError: a", "```", '"""', "<BLANKLINE>", "\0", "(", "\\"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_any_prompt_is_read(prompt: str) -> None:
    """No prompt makes the search for examples or for names raise (S0-43)."""
    examples = parse_examples(prompt)

    assert unknown_names(examples, "circle", prompt=prompt, user_names={"x"}) is not None
    assert all(example.source.strip() for example in examples)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=4)
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES)
def test_values_compare_as_python_compares_them(one: object, other: object) -> None:
    """A value equals itself; what Python finds different does not pass as equal (S0-43)."""
    if gate.check_text(repr(one)) is None and "..." not in repr(one):
        assert same_value(repr(one), repr(one))
    exact = "." not in repr(one) + repr(other) and "e" not in repr(one) + repr(other)
    if exact and one != other and "  " not in repr(one) + repr(other):
        assert not same_value(repr(one), repr(other))


@pytest.mark.parametrize("opening", [">>>", ">>> ", ">>>  ", ">>>\t", "  >>>", "> >>>"])
def test_an_example_counts_whatever_blanks_it_has(opening: str) -> None:
    """A blank too few or too many before the code loses no example and breaks none (S0-43)."""
    [example] = parse_examples(f"Area.\n{opening}area(2)\n12.566\n")

    assert (example.source, example.expected) == ("area(2)", "12.566")


def _refuse(prompt: str) -> None:
    refuse_unusable(parse_examples(prompt), module_name="circle", prompt=prompt, user_names=())


@pytest.mark.parametrize(
    ("example", "shown"),
    [
        ("area(\n12", "area("),
        ("area(2) -> 12", "area(2) -> 12"),
        ("!ls", "!ls"),
        ("for r in (1, 2)\n...     area(r)", "for r in (1, 2)"),
    ],
)
def test_an_example_that_is_no_python_is_refused_before_anybody_is_asked(
    example: str, shown: str
) -> None:
    """No answer could pass it, so it is named with its line instead of being paid for (S0-43)."""
    with pytest.raises(UsageError) as refused:
        _refuse(f"Area.\n\n>>> {example}\n")

    assert str(refused.value) == (
        f"nothing was sent: line 3 of the prompt, `>>> {shown}`, is an example that is no Python: "
        "correct it, or begin the line with something else"
    )


@pytest.mark.parametrize(
    "prompt",
    [
        ">>> area(  # doctest: +SKIP\n12",
        ">>> await area(2)\n12",
        ">>> 1 +\nTraceback (most recent call last):\nSyntaxError: invalid syntax",
        ">>> x = [1,\n...      2]\n>>> area(x)",
    ],
)
def test_what_may_stand_in_an_example_is_not_refused(prompt: str) -> None:
    """What is skipped, awaited, goes on over lines or shall be a syntax error is the user's."""
    _refuse(prompt)
