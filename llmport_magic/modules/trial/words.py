"""What of an exception may go back to a provider: its type and the words that the model knows.

A message such as `could not convert string to float: 'Ada Lovelace'` holds the user's data. It is
written anew: a word stays where the code, the prompt or what was sent of the data has it, or where
it is one of the fixed words of Python's, pandas' and numpy's own messages; anything else becomes
`<value>`.

Sizes and changes are the child's word, too: they are taken where they look like one, and a type's
name where the data cannot have named it.
"""

from __future__ import annotations

import builtins
import difflib
import re
from collections.abc import Iterable, Sequence

from llmport_magic.modules.comparison import one_line

VALUE = "<value>"
_LONGEST = 240
_MOST_COLUMNS = 8
# An apostrophe inside a word opens nothing.
_QUOTED = re.compile(
    r"(?<!\w)(?P<quote>['\"`])(?P<text>(?:(?!(?P=quote)).)*)(?P=quote)(?!\w)", re.DOTALL
)
_CHUNK = re.compile(r"[^\s'\"`()\[\]{},;=<>|]+")
_SENTENCE = re.compile(
    r"""(["'])(Columns? not found|Column\(s\)|None of|\[.*\] not|".*" not).*\1\Z"""
)
_ENDS = ".:!?"
_MARKS = re.compile(r"[.:!?/*+\-_&^%@#~\\]{1,3}\Z")
_REPEATED = re.compile(rf"{VALUE}(?:[\s'\"`()\[\]{{}},;=<>|]*{VALUE})+")

_MESSAGES = """
    a all ambiguous an and any are argument arguments array arrays as at attribute axis be between
    bool boolean boundary broadcast but by call can cannot categorical categories category
    character characters columns column comparison compare compute concat concatenate contain
    contains conversion convert converted could data dataframe dataframes date datetime datetimelike
    datetimes decode decoding dictionary did dimension dimensional dimensions divide division do
    does dtype dtypes duplicate duplicated duplicates element elements empty encode equal
    error exceeded exist expected explicit extra failed few field first float for format found frame
    frequency from frozen function given got group grouper groupby groups had has hashable have if
    in incompatible incorrect index indexer indices indexing infer input instance instances instead
    int integer integers interpreted into invalid is it item items iterable iterator its join
    key keyword keys label labels last left len length lengths level levels list local locate lossy
    many mapping mask match matching math max maximum mean merge method min minimum mismatch missing
    mixed mode module more most multiple must nat name named names nan ndim negative no non none
    nonetype not null number numbers numeric object objects of on one only operand operands
    operation operations operator or order other out outside overflow parse pass passed perform
    period please position positional possible quantile range recognized reduction reindex reset
    required requires resample result return right row rows scalar scalars sequence series set
    sequences shape shapes should single size slice sort specify str string strings sub
    subscriptable subset such sum support supported supports takes tells the this time timedelta
    times timestamp timezone to together too truth tuple tuples type types tz unable unexpected
    unhashable unicode unit unknown unorderable unpack unsupported use used using utc valid value
    values variable was were when where which with within without wrong you your zero

    accessor aligned allowed already ambiguously apply aware before bounds buffer bytes callable
    cast check codec codes coerce comparable compatible contained dict different differing directly
    enough exactly finite float16 float32 float64 formats handle having implemented inferred
    infinity inf int8 int16 int32 int64 integral interval iteration large like listlike monotonic
    naive ndarray new nonfinite nor numpy ns observed operate ordered overlap pandas polars raised
    reshape same sized small specified specification start step stop swapaxes than through
    tz-aware tz-naive uint8 uint16 uint32 uint64 isn doesn don aren didn t s
    assigned associated base callables constructor consumed defined exceeds exhausted exponent
    generator has immutable initialized iterating literal literals local main method methods
    missing modulo object open parameter parameters property read-only referenced resolution
    result returned sample samples setter setting sign sized subclass symbol system truncated
    unconvertible units unpacking width writable
    unconverted undefined underlying unique
    unitless unsafe us utf-8 datetime64 timedelta64 valueerror typeerror keyerror

    access appear arg args badly bad base byte called char choose closed code comparison context
    control coroutine data day define defined delimiter delimiters depth deque derive deriving
    digit digits directory does domain double early enclosed end endpoint enough error exceptions
    expecting expression factorial file formed hashed hexadecimal hour identifier isoformat least
    limit line literals loop lists manager minute modified month nesting nothing offset ordinal
    origin path pattern pop prefix printed protocol quotes ratio real recursion recursive repeat
    replacement runtime second separator slices subpattern substring subtract support sum syntax
    terminated trailing unary union unmatched unterminated update whitespace write year zip MB
    """
_LIBRARIES = """
    AbstractMethodError CategoricalConversionWarning ColumnNotFoundError ComputeError DataError
    DTypePromotionError DuplicateError DuplicateLabelError EmptyDataError IncompatibilityWarning
    IntCastingNaNError InvalidIndexError InvalidOperationError LinAlgError LossySetitemError
    MergeError NoDataError NullFrequencyError NumExprClobberingError OutOfBoundsDatetime
    OutOfBoundsError OutOfBoundsTimedelta OutputLimitError AxisError ParserError PanicException
    SchemaError SchemaFieldNotFoundError ShapeError SpecificationError StringCacheMismatchError
    TimeIsUpError UFuncTypeError UndefinedVariableError UnsortedIndexError UnsupportedFunctionCall
    ArrowInvalid ArrowKeyError ArrowNotImplementedError ArrowTypeError
    """
# What messages put in quotes, and spell as they do.
_TYPE_NAMES = """
    DataFrame DataFrameGroupBy DatetimeArray DatetimeIndex DatetimeProperties Index MultiIndex
    NAType NaN NaT NoneType RangeIndex Series SeriesGroupBy Timedelta Timestamp Unicode bool bytes
    complex date datetime datetime64 datetime64[ns] datetime64[us] dict dtype float float64
    datetime.date datetime.datetime datetime.time datetime.timedelta coroutine ascii utf-8
    frozenset function generator int int64 list method module ndarray numpy object range set str
    string timedelta tuple type ufunc
    """
_TYPES = frozenset(_TYPE_NAMES.split())
# What functions commonly give beside these; of messages they are no words.
_RESULT_NAMES = """
    Axes BytesIO Categorical CategoricalDtype CategoricalIndex Chart Counter DataArray Dataset
    DatetimeIndexResampler Decimal Expanding FacetGrid Figure Fraction GeoDataFrame GeoSeries
    Generator GroupBy Image Interval IntervalIndex LazyFrame MaskedArray OrderedDict PairGrid Path
    Period PeriodIndex PosixPath Resampler Rolling SimpleNamespace SparseArray StringIO Styler Table
    Tensor TimedeltaIndex UUID WindowsPath bool_ builtin_function_or_method bytes_ complex128
    complex64 coo_array coo_matrix csc_array csc_matrix csr_array csr_matrix defaultdict deque
    dict_items dict_keys dict_values float16 float32 int16 int32 int8 matrix memmap recarray str_
    time timedelta64 uint16 uint32 uint64 uint8 void
    """
_RESULTS = frozenset(_RESULT_NAMES.split())
# `'<' not supported between …`
_COMPARISONS = frozenset({"<", ">", "<=", ">="})
# `list of 3`, `Series 24`, `int`, and of a table the size alone.
_SIZE = re.compile(
    r"(?:(?P<kind>[^\W\d]\w{0,59})(?P<size>(?: of)?(?: [\dx]{1,40})?)|\d+x\d+)\Z", re.ASCII
)
_CHANGES = frozenset({"gone", "its columns", "its types", "its type", "its index", "its values"})
FIXED_WORDS = frozenset(_MESSAGES.split())
_LIBRARY_ERRORS = frozenset(_LIBRARIES.split())


class Words:
    """The words that a provider knows already: of the code, the prompt and what was described.

    Args:
        texts: what the model wrote and what was sent to it.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = [one_line(text, len(text)) for text in texts]
        self._known = {
            part
            for text in self._texts
            for chunk in _CHUNK.findall(text)
            for part in (chunk, chunk.strip(_ENDS), *re.split(r"[.:/]", chunk))
        }

    def knows(self, text: str) -> bool:
        """Tell whether a text as a whole was written by the model or sent to it."""
        text = one_line(text, len(text))
        whole = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
        return bool(text) and any(whole.search(each) for each in self._texts)

    def redacted(self, message: str) -> str:
        """Write a message anew, in one line, without what only the user's data can say."""
        message = one_line(message, 2000)
        if _SENTENCE.match(message):
            # `KeyError` quotes its whole message.
            message = message[1:-1]
        parts, at = [], 0
        for found in _QUOTED.finditer(message):
            parts.append(self._without_values(message[at : found.start()]))
            kept = self.knows(found["text"]) or found["text"] in _TYPES | _COMPARISONS
            parts.append(found[0] if kept else VALUE)
            at = found.end()
        parts.append(self._without_values(message[at:]))
        return one_line(_REPEATED.sub(VALUE, "".join(parts)), _LONGEST)

    def error(self, names: Sequence[str]) -> str:
        """Name an exception by the first of its classes that the data cannot have named."""
        for name in names:
            builtin = isinstance(getattr(builtins, name, None), type)
            if builtin or name in _LIBRARY_ERRORS or (name.isidentifier() and self.knows(name)):
                return name
        return "Exception"

    def size(self, text: object) -> str:
        """Take a type and a size from the child: a type that may be named after a value is left."""
        found = _SIZE.match(str(text))
        if found is None:
            return "something"
        kind = found["kind"]
        return str(text) if not kind or self._is_type(kind) else f"object{found['size']}"

    def change(self, text: str) -> str:
        """Take what changed of a variable from the child, in words of our own."""
        if text in _CHANGES:
            return text
        return (
            f"now {self.size(text.removeprefix('now '))}" if text.startswith("now ") else "changed"
        )

    def _is_type(self, name: str) -> bool:
        builtin = isinstance(getattr(builtins, name, None), type)
        return builtin or name in _TYPES | _RESULTS or self.knows(name)

    def _without_values(self, text: str) -> str:
        return _CHUNK.sub(self._chunk, text)

    def _chunk(self, found: re.Match[str]) -> str:
        chunk = found[0]
        bare = chunk.rstrip(_ENDS)
        if self._is_known(bare):
            return chunk
        # `DataFrame.columns` and `one-dimensional`: each part has to be known.
        parts = re.split(r"[.:/-]", bare)
        words = len(parts) > 1 and not any(part.isdigit() for part in parts)
        return chunk if words and all(map(self._is_known, parts)) else VALUE

    def _is_known(self, word: str) -> bool:
        if not word:
            return True
        if word in self._known or word in _TYPES or _MARKS.match(word):
            return True
        return word in FIXED_WORDS or (word.istitle() and word.lower() in FIXED_WORDS)


# -- columns that are not there --------------------------------------------------------------------


_KEYS = re.compile(r"'([^']*)'|\"([^\"']*)\"")
_ATTRIBUTE = re.compile(r"\A'(?:Data|Lazy)Frame' object has no attribute '(\w+)'")
_COLUMN_ERRORS = frozenset(
    {"ColumnNotFoundError", "SchemaFieldNotFoundError", "UndefinedVariableError"}
)


def invented_column(
    error: str, message: str, code: str, frames: dict[str, Sequence[str]]
) -> str | None:
    """Give the column that the code asks for and that no named table has.

    Args:
        error: the exception's type; one that pandas or polars raised.
        message: its text.
        code: the source: a key that it does not write down is no invention of the model's.
        frames: the columns of each table, by the variable's name.
    """
    asked: list[str]
    if error == "AttributeError":
        asked = _ATTRIBUTE.findall(message)
    elif error in _COLUMN_ERRORS:
        first = message.split("\n", 1)[0]
        asked = _keys(first) or re.findall(r"\w+", first)[-1:]
    elif error == "KeyError":
        asked = _keys(message)
    else:
        return None
    there = {column for columns in frames.values() for column in columns}
    for key in asked:
        if key and key not in there and _is_written(key, code):
            return key
    return None


def _keys(text: str) -> list[str]:
    found = [single or double for single, double in _KEYS.findall(text)]
    return [key.removeprefix("Column not found: ") for key in found]


def _is_written(key: str, code: str) -> bool:
    """Tell whether the code names a column: as a text, an attribute, an argument, or in a query."""
    word = re.escape(key)
    # What rows are called is no column.
    code = re.sub(rf"\.(?:loc|at)\[[\[(\s]*(['\"]){word}\1", "", code)
    forms = (
        rf"(['\"]){word}\1",
        rf"\.{word}\b(?!\s*\()",
        rf"\b{word}\s*=",
        rf"['\"].*\b{word}\b",
    )
    return any(re.search(form, code) for form in forms)


def columns_line(key: str, frames: dict[str, Sequence[str]]) -> str:
    """Say that a column is not there, and which are, the nearest first."""
    told = [
        f"{name} has no column '{key}'; its columns are "
        f"{', '.join(map(repr, _nearest_first(key, columns)))}"
        f"{', …' if len(columns) > _MOST_COLUMNS else ''}"
        for name, columns in frames.items()
    ]
    return ", and ".join(told)


def _nearest_first(key: str, columns: Sequence[str]) -> list[str]:
    def likeness(column: str) -> float:
        return difflib.SequenceMatcher(None, key.lower(), column.lower()).ratio()

    # Sorting is stable: what is not alike at all stays in the table's own order.
    near = sorted(columns, key=lambda column: -round(likeness(column), 2))
    return near[:_MOST_COLUMNS]


def printable(text: str) -> str:
    """Leave out what could move a terminal's cursor or turn the direction of the text."""
    return "".join(character for character in text if character.isprintable())
