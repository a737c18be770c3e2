"""What to try next when an answer fails its checks; pure functions, no model is called here.

Large models repair well when they are told what is wrong. Small ones hardly do: for them another
style of prompt and fresh samples, accepted by the user's own examples only, solve more.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from llmport_magic.errors import ConfigError

if TYPE_CHECKING:
    from llmport_magic.settings import Settings

Style: TypeAlias = Literal["chat", "completion", "repair"]
_SAMPLE_TEMPERATURE = 0.8
_UNDEFINED = re.compile(r"name '([^\W\d]\w*)' is not defined")


class Capable(Protocol):
    """What the strategy asks of a model's capabilities."""

    @property
    def size(self) -> str:
        """`small` or `large`."""

    @property
    def completion_style(self) -> bool:
        """Whether the model continues raw text."""


@dataclass(frozen=True, slots=True)
class AttemptPlan:
    """How one answer is asked for.

    Attributes:
        style: `chat`; `completion`: the start of the module, to be continued; or `repair`: the
            last answer with what is wrong with it.
        temperature: sampling temperature; `None` leaves it to the connector.
        seed: seed of the sampling; `None` leaves it to the connector.
        findings: what is wrong with the last answer.
        previous: the last answer's code.
    """

    style: Style = "chat"
    temperature: float | None = None
    seed: int | None = None
    findings: tuple[str, ...] = ()
    previous: str = ""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """What came of an attempt that failed.

    Attributes:
        plan: how it was asked for.
        source: the module that it gave, or what of it could be read.
        findings: what is wrong with it.
        completion_tokens: what it took of the budget.
        seconds: the same.
        usable: whether the answer was Python and, as a part, could be put into the module.
    """

    plan: AttemptPlan
    source: str = ""
    findings: tuple[str, ...] = ()
    completion_tokens: int = 0
    seconds: float = 0.0
    usable: bool = True


def first_attempt(capabilities: Capable, settings: Settings | None = None) -> AttemptPlan:
    """Plan the first attempt: a chat, greedy where the model is small.

    Args:
        capabilities: of the model that will be asked.
        settings: the user's temperature and seed, where given, win over the strategy's.
    """
    small = capabilities.size == "small"
    return _plan("chat", 0.0 if small else None, 0 if small else None, settings)


def next_attempt(
    capabilities: Capable, history: Sequence[AttemptRecord], settings: Settings
) -> AttemptPlan | None:
    """Plan the attempt after those that failed, or `None` when the budget is spent."""
    if not history:
        return first_attempt(capabilities, settings)
    if _spent(history, settings):
        return None
    if capabilities.size != "small":
        return _ask_a_large_model(history, settings)
    styles = {record.plan.style for record in history}
    if capabilities.completion_style and "completion" not in styles:
        return _plan("completion", 0.0, 0, settings)
    # Fixed seeds: the same notebook gets the same answers again.
    seed = 1 + sum(bool(record.plan.temperature) for record in history)
    return AttemptPlan("chat", _SAMPLE_TEMPERATURE, seed + (settings.seed or 0))


def refuse_over_budget(longest: int | None, settings: Settings) -> None:
    """Refuse a first request whose answer alone may be longer than the cell's budget.

    Args:
        longest: the longest answer that it asks for, in tokens; `None` is not known.
        settings: the budget.

    Raises:
        ConfigError: it is, with both numbers.
    """
    if longest is not None and longest > settings.budget_tokens:
        raise ConfigError(
            f"nothing was sent: one answer may have {longest:,} tokens (`max_tokens`), and "
            f"`budget_tokens` allows {settings.budget_tokens:,} for the whole cell (set by "
            f"{settings.source('budget_tokens')}): raise it, or lower `max_tokens`"
        )


def _plan(
    style: Style, temperature: float | None, seed: int | None, settings: Settings | None
) -> AttemptPlan:
    if settings is not None and settings.temperature is not None:
        temperature = settings.temperature
    if settings is not None and settings.seed is not None:
        seed = settings.seed
    return AttemptPlan(style, temperature, seed)


def _spent(history: Sequence[AttemptRecord], settings: Settings) -> bool:
    return (
        len(history) >= settings.tries
        or sum(record.completion_tokens for record in history) >= settings.budget_tokens
        or sum(record.seconds for record in history) >= settings.budget_seconds
    )


def _ask_a_large_model(history: Sequence[AttemptRecord], settings: Settings) -> AttemptPlan:
    last = history[-1]
    stuck = any(record.source == last.source for record in history[:-1])
    if not last.source or not last.findings or stuck:
        # The same wrong answer twice: telling it once more changes nothing.
        return _plan("chat", None, None, settings)
    return AttemptPlan("repair", settings.temperature, settings.seed, last.findings, last.source)


# -- the one repair that needs no model --------------------------------------------------------

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
        tree = ast.parse(source)
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
