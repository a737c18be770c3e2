"""What the vendors' packages have in common, for `check_against_sdks.py` to ask them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sdks.calls import calls
from sdks.samples import numbered, samples, summands

from llmport_magic.llm.dialects import dialect_named
from llmport_magic.llm.messages import Message
from llmport_magic.llm.reply import FINISH_REASONS, Chunk

KEY = "test-key-0123456789abcdef"
Results = Iterator[tuple[str, str]]
# What is asked, the vendor's own client asking it, and the same for ours.
Conversation = tuple[str, Callable[[str, bool], None], tuple[Message, ...], dict[str, Any]]
SAMPLING = {"max_tokens": 5, "temperature": 0.5, "stop": ["END"]}


class Package:
    """What all four have in common.

    Attributes:
        vendor: of `tests/vendors.py`, whose answers both clients get.
        finish: our word for each of the vendor's for an end.
        usage: the counts of the vendor that ours hold.
        uncounted: those that are in none of ours, as a pattern.
        known: what differs on purpose: a pattern of the finding, and why.
    """

    vendor: Any
    finish: Mapping[str, str]
    usage: Mapping[str, set[str]]
    uncounted = "(?!)"
    known: Mapping[str, str] = {}
    thinking: tuple[Mapping[str, Any], ...] = ()
    options: Mapping[str, Any] = {}
    extra: Mapping[str, Any] = {}
    refused: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.dialect = dialect_named(self.vendor.dialect)

    def knows(self, what: str, why: str) -> bool:
        """Whether a difference is one that is known."""
        for pattern, reason in self.known.items():
            if re.search(pattern, f"{what}: {why}"):
                self.seen.add(f"{pattern}: {reason}")
                return True
        return False

    def calls(self) -> Iterator[tuple[str, Any]]:
        """Give the calls to write."""
        return calls(self.thinking, self.options, self.extra, self.refused)

    def read(self, data: Any, text: str, finish: str | None, names: Sequence[str] = ()) -> str:
        """Read a whole answer, with calls of these names; gives what is wrong."""
        if self.dialect.read_error(data) is not None:
            return f"read as a failure: {json.dumps(data)[:300]}"
        chunk = self.dialect.read_reply(data)
        found = [call.name for call in chunk.tool_calls]
        if found != list(names):
            return f"calls of {found}, not {names}, in {json.dumps(data)[:300]}"
        return self.compared(chunk, data, text, finish)

    def compared(self, chunk: Chunk, data: Any, text: str, finish: str | None) -> str:
        """Compare what was read with what was said; gives what is wrong."""
        wanted = self.finish.get(finish, "?") if finish else None
        if chunk.text != text:
            return f"read {chunk.text!r} instead of {text!r} from {json.dumps(data)[:300]}"
        if finish and (chunk.finish_reason != wanted or wanted not in FINISH_REASONS):
            return f"{finish} is {chunk.finish_reason}, not {wanted}"
        return ""

    def counts(self, usage: Any, read: Callable[[Any], Mapping[str, int] | None]) -> Results:
        """Compare what our counts sum up with what they should."""
        value, numbers = numbered(usage)
        found = {name: summands(n, numbers) for name, n in (read(value) or {}).items()}
        for name in sorted({*found, *self.usage}):
            right = found.get(name) == self.usage.get(name)
            has, wanted = sorted(found.get(name, ())), sorted(self.usage.get(name, ()))
            yield name, "" if right else f"{name} holds {has}, not {wanted}"
        for path in sorted(set(numbers) - {each for held in found.values() for each in held}):
            yield path, "" if re.fullmatch(self.uncounted, path) else f"{path} is counted nowhere"

    def differing(self, own: Any, other: Any) -> list[str]:
        """Name what differs between our request and the other client's."""
        found = []
        if own.path != other.path:
            found.append(f"path {own.path}, theirs {other.path}")
        found += [
            f"header {header}"
            for header in self.headers or (self.vendor.key_header,)
            if own.headers.get(header) != other.headers.get(header)
        ]
        for name in sorted({*own.json, *other.json}):
            ours, theirs = (_camel(each.json.get(name)) for each in (own, other))
            if ours != theirs:
                found.append(f"`{name}` {json.dumps(ours)}, theirs {json.dumps(theirs)}")
        return found

    def errors(self) -> Results:
        """Give nothing: most packages have no types of failures."""
        yield from ()

    def names(self, body: Any, wanted: list[str]) -> Results:
        """Compare the models that are read out of a list."""
        found = list(self.dialect.read_models(body))
        yield "a list of models", "" if found == wanted else f"{found}, not {wanted}"


def _camel(value: Any) -> Any:
    """Write all names in the way of JSON in protocol buffers, which reads both ways."""
    if isinstance(value, dict):
        return {re.sub(r"_(\w)", lambda m: m[1].upper(), k): _camel(v) for k, v in value.items()}
    return [_camel(each) for each in value] if isinstance(value, list) else value


def faults_of(adapter: Any, value: Any) -> list[str]:
    """Say what a vendor's type has against a value."""
    from pydantic import ValidationError

    try:
        _read_through(adapter.validate_python([value]))
    except ValidationError as wrong:
        return [
            f"{'.'.join(each for each in map(str, e['loc']) if not each.isdigit())}: {e['msg']}"
            for e in wrong.errors()
        ]
    return []


def _read_through(value: Any) -> None:
    """Read all that is in a value: what is iterable is only checked while it is read."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        for each in value.values() if isinstance(value, Mapping) else value:
            _read_through(each)


def strict(kind: Any) -> Any:
    """Make a checker that takes no field which the type does not name."""
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(list[kind], config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))


def dumped(kind: Any) -> Iterator[dict[str, Any]]:
    """Give values of a model, as its vendor's own package writes them."""
    for value in samples(kind):
        yield kind.model_validate(value).model_dump(mode="json", by_alias=True, exclude_unset=True)
