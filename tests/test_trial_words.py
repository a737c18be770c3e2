"""What of an exception goes back to a provider: nothing that only the user's data can say."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmport_magic.modules.trial.words import (
    FIXED_WORDS,
    VALUE,
    Words,
    columns_line,
    invented_column,
)

SOURCE = '''def monthly(df):
    """Totals."""
    df["total"] = df["Revenue"].astype(float)
    return df.groupby("month")["total"].sum()
'''
CONTEXT = (
    "df: DataFrame of 24 rows and 3 columns\n  'Revenue': float64\n  'due date': datetime64[ns]"
)
WORDS = Words([SOURCE, "Totals by month.", CONTEXT])


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        (
            "could not convert string to float: 'Ada Lovelace'",
            f"could not convert string to float: {VALUE}",
        ),
        ("name 'month' is not defined", "name 'month' is not defined"),
        ("'Revenue'", "'Revenue'"),
        ("'ada@example.org'", VALUE),
        (
            "unsupported operand type(s) for +: 'int' and 'str'",
            "unsupported operand type(s) for +: 'int' and 'str'",
        ),
        (
            'time data "13/45/2020" doesn\'t match format "%Y-%m"',
            f"time data {VALUE} doesn't match format {VALUE}",
        ),
        (
            "invalid literal for int() with base 10: '4711'",
            f"invalid literal for int() with base {VALUE}",
        ),
        ("'due date' is not in list", "'due date' is not in list"),
        ("'date due' is not in list", f"{VALUE} is not in list"),
        ("index 4711 is out of bounds for axis 0 with size 12", None),
        ("Length of values (17) does not match length of index (24)", None),
        ("Ärger über 北京 and \u202ereversed", None),
        ("", ""),
        ("\x1b[31m secret\nsecond line", None),
    ],
)
def test_messages_are_written_anew(message: str, kept: str | None) -> None:
    """Words of the code, of what was sent and of known messages stay; the rest is `<value>`."""
    told = WORDS.redacted(message)

    if kept is not None:
        assert told == kept
    for secret in ("Ada", "4711", "17", "Ärger", "北京", "secret", "\x1b", "\u202e", "2020"):
        assert secret not in told


TEXTS = st.text(
    alphabet=string.ascii_letters + string.digits + "äß北", min_size=5, max_size=20
).filter(lambda text: text.lower() not in FIXED_WORDS)
FORMS = [
    "could not convert string to float: {!r}",
    "invalid literal for int() with base 10: {!r}",
    "{!r}",
    "{}",
    '"{}"',
    "'{}' is not in list",
    "cannot convert {} to integer: it's {}",
    "(it{!r}s) [{}] {{{}}}",
    "x={};y='{}",
    "isn't '{}' or `{}`",
    "{0}.{0}",
    "float{}",
    "Columns not found: {!r}",
    '"[{!r}] not in index"',
]


@given(TEXTS, st.sampled_from(FORMS))
def test_no_value_comes_through(value: str, form: str) -> None:
    """However a message holds a value, it is not in what is told."""
    known = Words(["def f(df): pass"])
    message = form.format(value, value, value)

    told = known.redacted(message)

    assert value not in told


@given(st.integers(min_value=100), st.sampled_from(["{}", "{}.5", "-{}e3", "({},)", "{:,}"]))
def test_no_number_comes_through(number: int, form: str) -> None:
    """A number that nobody wrote or sent is a value."""
    assert str(number) not in WORDS.redacted(f"size {form.format(number)} is too large")


def test_an_exceptions_name_is_no_way_out() -> None:
    """A class that is named after a value is told by its nearest known base."""
    assert WORDS.error(["ada_lovelace", "ValueError", "Exception"]) == "ValueError"
    assert WORDS.error(["ada_lovelace"]) == "Exception"
    assert WORDS.error(["OutOfBoundsDatetime", "ValueError"]) == "OutOfBoundsDatetime"
    own = Words(["class BadRow(Exception): pass"])
    assert own.error(["BadRow", "Exception"]) == "BadRow"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("list of 3", "list of 3"),
        ("Series 24", "Series 24"),
        ("24x3", "24x3"),
        ("csr_matrix 3x4", "csr_matrix 3x4"),
        ("Totals of 2", "Totals of 2"),
        ("ada_lovelace", "object"),
        ("ada_lovelace of 1", "object of 1"),
        ("ada_lovelace 1x2", "object 1x2"),
        ("4711", "something"),
        ("Ada Lovelace", "something"),
        ("", "something"),
    ],
)
def test_a_types_name_is_no_way_out(said: object, told: str) -> None:
    """A type that is named after a value is an `object`; its size stays."""
    assert WORDS.size(said) == told
    assert WORDS.change(f"now {said}") == f"now {told}"


def test_a_change_is_told_in_words_of_our_own() -> None:
    """What the child makes up as a change is no more than a change."""
    assert WORDS.change("its values") == "its values"
    assert WORDS.change("ada_lovelace") == "changed"


@pytest.mark.parametrize(
    ("error", "message", "key"),
    [
        ("KeyError", "'revenue'", "revenue"),
        ("KeyError", "\"['revenue'] not in index\"", "revenue"),
        (
            "KeyError",
            "\"None of [Index(['revenue'], dtype='str')] are in the [columns]\"",
            "revenue",
        ),
        ("KeyError", "\"Columns not found: 'revenue'\"", "revenue"),
        ("KeyError", "'Column not found: revenue'", "revenue"),
        ("KeyError", "\"Column(s) ['revenue'] do not exist\"", "revenue"),
        ("AttributeError", "'DataFrame' object has no attribute 'revenue'", "revenue"),
        ("ColumnNotFoundError", 'unable to find column "revenue"; valid columns: ["a"]', "revenue"),
        ("ColumnNotFoundError", "revenue\n\nResolved plan until failure: ...", "revenue"),
        ("UndefinedVariableError", "name 'revenue' is not defined", "revenue"),
        ("AttributeError", "'Series' object has no attribute 'revenue'", None),
        ("ValueError", "'revenue'", None),
        ("KeyError", "'Ada Lovelace'", None),
        ("KeyError", "'month'", None),
    ],
)
def test_an_invented_column_is_what_the_code_writes(
    error: str, message: str, key: str | None
) -> None:
    """Only a name that the code itself writes, and no table has, is an invented column."""
    code = "x = df['revenue'] + df['month'] + df.revenue"

    assert invented_column(error, message, code, {"df": ["month", "Revenue"]}) == key


@pytest.mark.parametrize(
    "code", ["x.loc['zz']", 'x.loc[["zz"]]', "x.loc[('zz', 1)]", "x.at['zz', 'a']"]
)
def test_a_rows_label_is_no_column(code: str) -> None:
    """What the code looks up among the rows is no invented column, unless it is one elsewhere."""
    frames = {"x": ["a"]}

    assert invented_column("KeyError", "'zz'", code, frames) is None
    assert invented_column("KeyError", "'zz'", f"{code}\nx['zz']", frames) == "zz"


def test_the_nearest_columns_come_first() -> None:
    """The column that was meant stands first, and a wide table is cut."""
    columns = [f"c{number}" for number in range(20)] + ["Revenue", "revenue_eur"]

    line = columns_line("revenue", {"df": columns})

    assert line.startswith("df has no column 'revenue'; its columns are 'Revenue', 'revenue_eur', ")
    assert line.endswith(", …")
    assert line.count("'") == 2 * 9


_PLACE = f"line {VALUE} column {VALUE} (char {VALUE})"


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("maximum recursion depth exceeded in comparison", None),
        ("'<' not supported between instances of 'str' and 'int'", None),
        ("'>=' not supported between instances of 'NoneType' and 'int'", None),
        ("list indices must be integers or slices, not str", None),
        ("min() arg is an empty sequence", None),
        ("pop from empty list", None),
        ("math domain error", None),
        ("int() argument must be a string, a bytes-like object or a real number, not 'list'", None),
        ("can't subtract offset-naive and offset-aware datetimes", None),
        ("unsupported operand type(s) for -: 'datetime.datetime' and 'datetime.date'", None),
        (
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
            f"Expecting property name enclosed in double quotes: {_PLACE}",
        ),
        (
            "invalid literal for int() with base 10: 'Ada'",
            f"invalid literal for int() with base {VALUE}",
        ),
        (
            "time data 'Ada' does not match format '%Y'",
            f"time data {VALUE} does not match format {VALUE}",
        ),
        ("could not convert string to float: '-'", f"could not convert string to float: {VALUE}"),
    ],
)
def test_what_python_says_itself_can_be_understood(message: str, kept: str | None) -> None:
    """Python's own words stay in its messages, and no value does."""
    assert Words([]).redacted(message) == (message if kept is None else kept)
