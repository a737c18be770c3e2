"""What is mended in an answer without asking anybody: slips that small models make again and again.

Each of them is looked for only where the check says that something is wrong, and what is mended is
checked like any other answer.
"""

from __future__ import annotations

import ast
import builtins
import io
import re
import sys
import tokenize
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from llmport_magic.modules.parsing import parse
from llmport_magic.modules.statements import DEFINITIONS, FUNCTIONS
from llmport_magic.modules.verdict import Verdict

_HARMLESS = {
    *("abs", "all", "any", "bool", "dict", "enumerate", "float", "int", "isinstance", "len"),
    *("list", "max", "min", "print", "range", "repr", "round", "set", "sorted", "str", "sum"),
    *("tuple", "type", "zip"),
}
_UNDEFINED = re.compile(r"name '([^\W\d]\w*)' is not defined")


@dataclass(frozen=True, slots=True)
class Mended:
    """A module with its slips taken out.

    Attributes:
        source: the module.
        told: what was changed beyond added imports, for the user.
    """

    source: str
    told: tuple[str, ...] = ()


def mend(source: str, verdict: Verdict, *, module: str, wanted: Sequence[str]) -> Mended | None:
    """Take out what is known how to mend, or give `None`.

    Args:
        source: the module.
        verdict: what the check says of it.
        module: its name; "" where its functions have theirs already, as in an update.
        wanted: the names that the examples call of it.
    """
    if not verdict.findings or verdict.missing:
        return None
    told: list[str] = []
    text = source
    if renamed := name_as_called(text, module, wanted):
        text, name = renamed
        told.append(f"`{module}` in the answer is called `{name}`, as the examples call it")
    # Without examples the answer's own tests are all that speaks for it, or against it.
    if wanted and verdict.broken and (without := drop_own_tests(text)):
        text = without
        told.append("the answer's own calls and asserts were taken out: they failed at import")
    text = add_missing_imports(text, verdict.findings) or text
    return Mended(text, tuple(told)) if text != source else None


def is_better(verdict: Verdict, than: Verdict) -> bool:
    """Tell whether a mended module got further than the answer did."""
    return _got(verdict) > _got(than)


def _got(verdict: Verdict) -> tuple[bool, bool, bool, int, int]:
    passed = sum(example.status == "passed" for example in verdict.examples)
    proven = verdict.proof != "failed"
    safe, runs = verdict.safety != "refuse", not verdict.broken
    return safe, proven, runs, passed, -len(verdict.findings)


# -- names -------------------------------------------------------------------------------------


def name_as_called(source: str, module: str, wanted: Sequence[str]) -> tuple[str, str] | None:
    """Rename a function that took the module's name to the only wanted name that is not there.

    Asked for the module `linear_fit` with the functions `fit` and `predict`, small models define
    `linear_fit` and `predict`.

    Returns:
        The module and the function's new name, or `None`.
    """
    try:
        tree = parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    functions = {node.name for node in tree.body if isinstance(node, FUNCTIONS)}
    there = [name for node in ast.walk(tree) for name in (*_bound_by(node), *_stored_by(node))]
    absent = [name for name in wanted if name not in there]
    if module not in functions or module in wanted or len(absent) != 1:
        return None
    # A parameter or variable of the same name, or a use within an f-string, is not told apart.
    if there.count(module) != 1 or _in_an_f_string(tree, module):
        return None
    return _renamed(source, module, absent[0]), absent[0]


def _stored_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg


def _in_an_f_string(tree: ast.Module, name: str) -> bool:
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr))
    return any(
        isinstance(node, ast.Name) and node.id == name
        for string in strings
        for node in ast.walk(string)
    )


def _renamed(source: str, old: str, new: str) -> str:
    """Change a name wherever it stands for itself: not in strings, nor behind a dot."""
    lines = io.StringIO(source).readlines()
    before = ""
    places = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and token.string == old and before != ".":
            places.append(token.start)
        before = token.string
    for row, column in reversed(places):
        line = lines[row - 1]
        lines[row - 1] = line[:column] + new + line[column + len(old) :]
    return "".join(lines)


# -- what runs at import -----------------------------------------------------------------------


def drop_own_tests(source: str) -> str | None:
    """Take a module's tests of itself out of its top level, or give `None`.

    A module that shows itself at work fails to import where it is wrong, or where the show is.
    Only asserts and bare calls go that use nothing but what the module defines and a few harmless
    built-ins: whatever else fails at import is for the user to see.
    """
    try:
        body = parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    own = {node.name for node in body if isinstance(node, DEFINITIONS)}
    lines = io.StringIO(source).readlines()
    shows = [node for node in body if _only_shows(node, own | _HARMLESS)]
    for node in reversed(shows):
        del lines[node.lineno - 1 : node.end_lineno]
    text = "".join(lines)
    try:
        left = parse(text).body
    except SyntaxError:
        # Two statements on one line: what stands beside a call was cut as well.
        return None
    return text if shows and len(left) == len(body) - len(shows) else None


def _only_shows(node: ast.stmt, known: Collection[str]) -> bool:
    if isinstance(node, ast.For | ast.If | ast.With | ast.Try):
        inner = [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)]
        inner += [each for handler in getattr(node, "handlers", ()) for each in handler.body]
        return all(isinstance(each, ast.Pass) or _only_shows(each, known) for each in inner)
    if not isinstance(node, ast.Assert) and not (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        return False
    calls = (inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call))
    return all(
        (isinstance(func, ast.Name) and func.id in known)
        # A method of what such a call gives, or of a literal.
        or (isinstance(func, ast.Attribute) and isinstance(func.value, ast.Call | ast.Constant))
        for func in calls
    )


# -- imports -----------------------------------------------------------------------------------


_FROM = {
    "abc": "ABC abstractmethod",
    "bisect": "bisect_left bisect_right insort",
    "collections": "ChainMap Counter OrderedDict defaultdict deque namedtuple",
    "collections.abc": "Callable Generator Hashable Iterable Iterator Mapping MutableMapping"
    " Sequence",
    "contextlib": "contextmanager suppress",
    "dataclasses": "asdict astuple dataclass field",
    "datetime": "date timedelta timezone",
    "decimal": "Decimal ROUND_HALF_UP",
    "enum": "Enum IntEnum auto",
    "fractions": "Fraction",
    "functools": "cache cached_property lru_cache partial reduce total_ordering wraps",
    "heapq": "heapify heappop heappush nlargest nsmallest",
    "io": "BytesIO StringIO",
    "itertools": "accumulate chain combinations count cycle groupby islice pairwise permutations"
    " product takewhile zip_longest",
    "math": "ceil comb factorial floor gcd isclose isqrt log log2 log10 pi prod sqrt",
    "operator": "attrgetter itemgetter",
    "pathlib": "Path",
    "statistics": "mean median mode pstdev stdev",
    "string": "ascii_letters ascii_lowercase ascii_uppercase digits punctuation",
    "textwrap": "dedent",
    "typing": "Any ClassVar Dict Final FrozenSet Generic List Literal NamedTuple Optional"
    " Protocol Set Tuple Type TypeVar TypedDict Union",
    "urllib.parse": "parse_qs quote unquote urlencode urljoin urlparse",
}
_HOMES = {name: home for home, names in _FROM.items() for name in names.split()}
_DATETIME_CLASS = re.compile(
    r"\bdatetime\.(?:now|today|strptime|fromisoformat|fromtimestamp|combine|utcnow)\b"
)


def add_missing_imports(source: str, findings: Sequence[str]) -> str | None:
    """Add the imports of the standard library that a module forgot, or give `None`.

    Acts only when a finding says that such a name is not defined; then every name of the kind is
    imported at once, as an error only ever tells of the first one.

    Args:
        source: the module.
        findings: what the check says is wrong with it.
    """
    undefined = {name for finding in findings for name in _UNDEFINED.findall(finding)}
    if not any(_import_of(name, source) for name in undefined):
        return None
    try:
        tree = parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    wanted = undefined | _unbound(tree)
    lines = sorted({line for name in wanted if (line := _import_of(name, source))})
    at = _after_header(tree)
    kept = source.splitlines(keepends=True)
    before, after = "".join(kept[:at]), "".join(kept[at:])
    if before and not before.endswith("\n"):
        before += "\n"
    gap = "\n" if before and lines else ""
    return before + gap + "".join(f"{line}\n" for line in lines) + after


def _import_of(name: str, source: str) -> str | None:
    if name == "datetime" and _DATETIME_CLASS.search(source):
        return "from datetime import datetime"
    if name in _HOMES:
        return f"from {_HOMES[name]} import {name}"
    if name in sys.stdlib_module_names and not name.startswith("_"):
        return f"import {name}"
    return None


def _unbound(tree: ast.Module) -> set[str]:
    """Name what the module reads and binds nowhere: scopes do not matter for an import."""
    read, bound = set[str](), set(vars(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        else:
            bound.update(_bound_by(node))
    return read - bound


def _bound_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).split(".")[0]
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def _after_header(tree: ast.Module) -> int:
    """Count the lines that must stay first: the docstring and the `__future__` imports."""
    lines = 0
    for number, node in enumerate(tree.body):
        docstring = number == 0 and ast.get_docstring(tree, clean=False) is not None
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not docstring and not future:
            break
        lines = node.end_lineno or lines
    return lines
