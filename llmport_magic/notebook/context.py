"""What of the notebook goes into a prompt: only what the user names."""

from __future__ import annotations

import builtins
import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from llmport_magic.errors import UsageError
from llmport_magic.llm.cost import estimate_tokens, family_named
from llmport_magic.notebook.describing import Description, describe_data
from llmport_magic.notebook.documenting import describe_code, is_code, source_of
from llmport_magic.notebook.visible import visible, without_secrets
from llmport_magic.progress import Described
from llmport_magic.secrets import redact

_FIELD = re.compile(r"\{\{\{\{|\}\}\}\}|\{\{(.+?)\}\}", re.DOTALL)
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
_LONGEST_VALUE = 20_000
_MOST_ROWS = 100
_FORMS = "`df`, `df:rows=5`, `clean:source` or `cell:3`"


@dataclass(frozen=True, slots=True)
class Named:
    """One item of `--with`: what the user named, and how much of it may be sent.

    Args:
        text: the item as the user wrote it, as `df:rows=5`.
        kind: a variable of the namespace, or a cell.
        name: the variable's name, with dots for an attribute (`pd.DataFrame`); a cell's execution
            count in digits.
        rows: how many rows may be sent; 0 for none.
        source: whether the source is asked for; always so for a cell.
    """

    text: str
    kind: Literal["variable", "cell"]
    name: str
    rows: int = 0
    source: bool = False


def named(items: tuple[str, ...]) -> tuple[Named, ...]:
    """Read the items of `--with`, each once.

    Raises:
        UsageError: an item that has none of the forms.
    """
    return tuple(dict.fromkeys(_named(item.strip()) for item in items))


def _named(item: str) -> Named:
    name, colon, asked = (part.strip() for part in item.partition(":"))
    if name == "cell" and colon:
        return _named_cell(item, asked)
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(
            f"`--with {item}`: `{name}` is no variable's name; the forms are {_FORMS}, several "
            "by comma"
        )
    if not colon:
        return Named(item, "variable", name)
    word, equals, value = (part.strip() for part in asked.partition("="))
    if word == "source" and not equals:
        return Named(item, "variable", name, source=True)
    if word != "rows":
        near = difflib.get_close_matches(word, ("rows", "source"), n=1, cutoff=0.5)
        hint = (
            f"did you mean `{name}:{'rows=5' if near == ['rows'] else 'source'}`?" if near else ""
        )
        raise UsageError(
            f"`--with {item}`: `{asked}` says nothing about a variable; "
            f"{hint or f'the forms are {_FORMS}'}"
        )
    if not value.isdecimal() or int(value) == 0:
        raise UsageError(f"`--with {item}`: rows are a number from 1 to 100, as in `{name}:rows=5`")
    if int(value) > _MOST_ROWS:
        raise UsageError(
            f"`--with {item}`: at most {_MOST_ROWS} rows are sent; the model needs columns, not "
            f"the data: `{name}:rows=5` shows it what they look like"
        )
    return Named(item, "variable", name, rows=int(value))


def _named_cell(item: str, count: str) -> Named:
    if not count.isdecimal() or int(count) == 0:
        raise UsageError(
            f"`--with {item}`: a cell is named by the number beside it, as in `cell:3`"
        )
    return Named(item, "cell", str(int(count)), source=True)


def render(prompt: str, namespace: Mapping[str, Any]) -> str:
    """Fill in `{{ expression }}` once from the user's namespace.

    `{{{{` stands for a literal `{{` and `}}}}` for `}}`; single braces are text. What an
    expression gives is inserted as it is, and never looked at again.

    Raises:
        UsageError: an expression fails, or its value would never look the same twice.
    """

    def fill(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][:2]
        return _value_of(match[1].strip(), namespace)

    return _FIELD.sub(fill, prompt)


def _value_of(expression: str, namespace: Mapping[str, Any]) -> str:
    try:
        # The user's own expression in the user's own namespace, as in any cell.
        text = str(eval(expression, dict(namespace)))  # noqa: S307
    except Exception as error:  # noqa: BLE001 - whatever the expression raises is the user's
        raise UsageError(
            f"`{{{{ {expression} }}}}` cannot be filled in: {type(error).__name__}: {error}"
        ) from None
    if _ADDRESS.search(text):
        raise UsageError(
            f"`{{{{ {expression} }}}}` is an object without a text of its own ({text[:60]}): name "
            "what of it the prompt needs"
        )
    if len(text) > _LONGEST_VALUE:
        raise UsageError(
            f"`{{{{ {expression} }}}}` is {len(text):,} characters long, more than "
            f"{_LONGEST_VALUE:,}: name a part of it"
        )
    return text


@dataclass(frozen=True, slots=True)
class _Detail:
    """How much is said of each item, and how that is told where it is less than there is."""

    documentation: int = 1_000
    members_documented: bool = True
    entries: int = 1_000
    rows: int = _MOST_ROWS


# What is too long is shortened in this order; sources are sent whole or not at all.
_SHORTER = (
    _Detail(),
    _Detail(documentation=1),
    _Detail(documentation=0, members_documented=False),
    _Detail(documentation=0, members_documented=False, entries=100),
    _Detail(documentation=0, members_documented=False, entries=40),
    _Detail(documentation=0, members_documented=False, entries=12),
    _Detail(documentation=0, members_documented=False, entries=12, rows=5),
    _Detail(documentation=0, members_documented=False, entries=12, rows=1),
)


class Context:
    """What `--with` names, looked up now and described when somebody is to be asked.

    Args:
        items: what the user named.
        namespace: the user's variables.
        cells: the text of each cell by its execution count, as it was run.
    """

    def __init__(
        self, items: tuple[Named, ...], namespace: Mapping[str, Any], cells: Sequence[str] = ()
    ) -> None:
        self._cells = cells
        self._found: dict[Named, Any] = {}
        self._errors: list[UsageError] = []
        for item in items:
            try:
                self._found[item] = _look_up(item, namespace, cells)
            except UsageError as error:
                self._errors.append(error)

    def digests(self) -> dict[str, str]:
        """Give what each item is, in a few words, with a digest of what is said about it.

        Rows and missing values are not part of the digest: data may grow without a notice.
        """
        digests = {}
        for item, value in self._found.items():
            try:
                said = _description(item, value, self._cells, whole=False)
            except UsageError:
                continue  # said when it is described
            lines = "\n".join([said.stable, *(text for text, _ in said.entries), said.source])
            digest = hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()
            digests[item.text] = f"{redact(visible(said.brief))} {digest[:16]}"
        return digests

    def describe(self, tokens: int, model: str = "") -> Described:
        """Describe everything within a number of tokens.

        Args:
            tokens: the most that the text may have, as estimated.
            model: whose tokens are counted, where it is known.

        Raises:
            UsageError: for what is not there, and for what does not fit, with the numbers.
        """
        if self._errors:
            raise self._errors[0]
        if not self._found:
            return Described()
        said = {item: _description(item, value, self._cells) for item, value in self._found.items()}
        family, sizes = family_named(model), {}
        for detail in _SHORTER:
            parts = {item: _text(item, each, detail) for item, each in said.items()}
            sizes = {
                item.text: estimate_tokens(visible(part), family)
                for item, (part, _) in parts.items()
            }
            if sum(sizes.values()) <= tokens:
                return _described(said, parts, detail, sum(sizes.values()))
        each = ", ".join(f"`{name}` {size:,}" for name, size in sizes.items())
        raise UsageError(
            f"what `--with` names has about {sum(sizes.values()):,} tokens even when it is "
            f"shortened ({each}), more than `context_tokens` = {tokens:,}: name less, or set "
            "`context_tokens` higher"
        )


def _look_up(item: Named, namespace: Mapping[str, Any], cells: Sequence[str]) -> Any:
    if item.kind == "cell":
        number = int(item.name)
        text = cells[number] if number < len(cells) else ""
        if text.strip():
            return text
        last = max((at for at, each in enumerate(cells) if each.strip()), default=0)
        known = f"the last one is `cell:{last}`" if last else "none was run yet"
        raise UsageError(
            f"`--with {item.text}`: no cell [{number}] was run in this kernel, {known}"
        )
    first, *rest = item.name.split(".")
    if first not in namespace:
        # IPython puts its own `open` among the user's names.
        names = [
            name for name in namespace if not name.startswith("_") and not hasattr(builtins, name)
        ]
        near = difflib.get_close_matches(first, names, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "run the cell that defines it first"
        raise UsageError(
            f"`--with {item.text}`: there is no variable `{first}` in this notebook; {hint}"
        )
    value, path = namespace[first], first
    for name in rest:
        try:
            value = getattr(value, name)
        except Exception as error:  # noqa: BLE001 - a property is the user's own code
            raise UsageError(
                f"`--with {item.text}`: `{path}` has no attribute `{name}` ({type(error).__name__})"
            ) from None
        path = f"{path}.{name}"
    return value


def _description(
    item: Named, value: Any, cells: Sequence[str], *, whole: bool = True
) -> Description:
    if item.kind == "cell":
        lines = value.strip("\n")
        size = f"cell of {lines.count(chr(10)) + 1} lines"
        return Description(brief=size, head="the source of a cell", stable="", source=lines)
    if is_code(value):
        if item.rows:
            raise UsageError(f"`--with {item.text}`: `{item.name}` is code and has no rows")
        said = describe_code(item.name, value, whole=whole)
    else:
        said = describe_data(value, whole=whole)
    if item.rows and said.table is None:
        raise UsageError(
            f"`--with {item.text}`: `{item.name}` has no rows ({said.brief}); "
            f"`{{{{ {item.name} }}}}` in the prompt fills its value in"
        )
    if not item.source:
        return said
    source = source_of(item.name, value, cells).rstrip()
    return replace(said, documentation="", entries=(), more=0, source=source)


def _text(item: Named, said: Description, detail: _Detail) -> tuple[str, list[str]]:
    """Write what is said about one item, and what was left out of it."""
    left_out: list[str] = []
    label = f"cell [{item.name}]" if item.kind == "cell" else item.name
    lines = [f"{label}: {said.head}"]
    documentation = said.documentation.split("\n") if said.documentation else []
    lines += [f"  {line}".rstrip() for line in documentation[: detail.documentation]]
    if len(documentation) > detail.documentation:
        left_out.append("the rest of its docstring" if detail.documentation else "its docstring")
    for text, documented in said.entries[: detail.entries]:
        shown = f": {documented}" if documented and detail.members_documented else ""
        lines.append(f"  {text}{shown}")
    if not detail.members_documented and any(documented for _, documented in said.entries):
        left_out.append(f"what is documented of its {said.noun}s")
    if more := max(0, len(said.entries) - detail.entries) + said.more:
        lines.append(f"  … and {more:,} more {said.noun}{'s' * (more != 1)}")
        left_out.append(_counted(more, said.noun))
    if item.rows and said.table is not None:
        count = min(item.rows, detail.rows)
        rows = said.table(count, detail.entries)
        lines += [f"  first {_counted(count, 'row')}:", *(f"    {row}" for row in rows)]
        if count < item.rows:
            left_out.append(f"{item.rows - count} of the {item.rows} rows")
    if said.source:
        lines += [f"  {line}".rstrip() for line in said.source.split("\n")]
    if left_out:
        lines.insert(1, f"  (left out to be short: {', '.join(left_out)})")
    return "\n".join(lines), left_out


def _described(
    said: Mapping[Named, Description],
    parts: Mapping[Named, tuple[str, list[str]]],
    detail: _Detail,
    tokens: int,
) -> Described:
    texts, sent, notes = [], [], []
    for item, (part, left_out) in parts.items():
        text, has_secret = without_secrets(visible(part))
        texts.append(text)
        sent.append(f"{item.text}: {_sent(item, said[item], detail)}")
        if left_out:
            notes.append(f"{item.text}: left out to be short: {', '.join(left_out)}")
        if has_secret:
            notes.append(f"{item.text}: something that looks like a key or a password was masked")
        if visible(part) != part:
            notes.append(f"{item.text}: hidden characters are sent written out, as in \\u200b")
    return Described(
        _fenced("\n\n".join(texts)), tuple(map(_shown, sent)), tuple(map(_shown, notes)), tokens
    )


def _fenced(text: str) -> str:
    """Put a text between fences that nothing in it can close, as they are longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _shown(line: str) -> str:
    return redact(visible(line))


def _sent(item: Named, said: Description, detail: _Detail) -> str:
    """Say in a few words what was sent of an item, and what was not."""
    if item.source:
        lines = _counted(said.source.count("\n") + 1, "line")
        return f"its source, {lines}" + (", not its output" if item.kind == "cell" else "")
    shown = _counted(min(len(said.entries), detail.entries), said.noun)
    about = f"{said.brief}, {shown} described" if said.entries else said.brief
    if said.table is None:
        return about
    rows = min(item.rows, detail.rows)
    return f"{about}, {_counted(rows, 'row') if rows else 'no rows'} sent"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"
