"""Recorded answers of every dialect, and random damage to them, replayed without a network.

    python tests/mutations.py 1000000 [SEED]

Each damaged answer goes through the real connector, exchange and dialect. It must end, in an
answer or in an `LLMError` of one line that holds no key; anything else is raised with its number,
from which `mutated(number)` makes the same again.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from asking import KEY, no_wait
from vendors import VENDORS

from llmport_magic import bridge
from llmport_magic.errors import LLMError
from llmport_magic.llm.clock import Clock
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.transport import Incoming, Outgoing
from llmport_magic.llm.wire import Limits

LONGEST_SECONDS = 60.0
_CALLS = [
    ("call_a", "add", {"a": 1, "b": [2, "zwei ü🙂"]}),
    ("call_b", "look", {"q": 'a "b" \\ c'}),
]
_KINDS = ("text/event-stream", "application/json", "application/x-ndjson", "text/html", "", "x/y")
_VALUES = (None, True, -1, 1e308, 10**30, "", "x", "\ud800", [], [None], {}, {"error": {}}, [[]])
_NOISE = (
    *(b"\n", b"\r", b"\n\n", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"\\", b"{", b"}", b"]"),
    *(b"data: ", b"event: error\n", b"data: [DONE]\n\n", b": x\n", b"null", b"NaN", b"1e999"),
    *(b"\\ud800", b"\\u0000", b"\xe2\x80\xa8", b"[" * 200, b"x" * 500, b'{"error":{"message":1}}'),
)


@dataclass(frozen=True)
class Recording:
    """What a vendor once answered, and how that ends: `answer` or the name of our error."""

    dialect: str
    streamed: bool
    status: int
    body: bytes
    end: str


@cache
def recordings() -> tuple[Recording, ...]:
    """Give good answers and failures of every vendor, whole and as streams."""
    made = []
    for vendor in VENDORS:
        texts = ("Hello, ", "wörld 🙂 ", "and\u2028more")
        for streamed, end, script in (
            (False, "answer", vendor.whole("".join(texts))),
            (False, "answer", vendor.whole("", finish="tool_calls", calls=_CALLS, thought="hm")),
            (False, "LLMStatusError", vendor.error(429, "slow down")),
            (False, "LLMStatusError", vendor.error(400, "bad `temperature`")),
            (True, "answer", vendor.stream(*texts)),
            (True, "answer", vendor.stream("so", calls=_CALLS, thought="hm")),
            (True, "LLMStreamError", vendor.stream(*texts, finish=None)),
            (True, "LLMStreamError", vendor.broken_stream("half", "overloaded")),
        ):
            body = b"".join(step for step in script.steps if isinstance(step, bytes))
            made.append(Recording(vendor.dialect, streamed, script.status, body, end))
    return tuple(made)


@dataclass(frozen=True)
class Damaged:
    """A recording after some damage, as a server would send it."""

    recording: Recording
    kind: str
    status: int
    pieces: tuple[bytes, ...]


def mutated(number: int) -> Damaged:
    """Make the damaged answer of this number, always the same."""
    dice = random.Random(number)
    recording = recordings()[number % len(recordings())]
    body = recording.body
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        body = dice.choice(_DAMAGES)(dice, body)
    right = "text/event-stream" if recording.streamed else "application/json"
    if recording.dialect == "ollama_chat" and recording.streamed:
        right = "application/x-ndjson"
    kind = right if dice.random() < 0.9 else dice.choice(_KINDS)
    status = recording.status if dice.random() < 0.95 else dice.choice((200, 204, 400, 404, 500))
    cuts = sorted(dice.randrange(len(body) + 1) for _ in range(dice.choice((0, 1, 3, 9))))
    places = [0, *cuts, len(body)]
    pieces = (body[a:b] for a, b in pairwise(places))
    return Damaged(recording, kind, status, tuple(piece for piece in pieces if piece))


def _flip(dice: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(dice.choice((1, 1, 3, 20)) if body else 0):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _slice(dice: random.Random, body: bytes) -> tuple[int, int]:
    start = dice.randrange(len(body) + 1)
    return start, min(len(body), start + int(dice.expovariate(1 / 30)))


def _lose(dice: random.Random, body: bytes) -> bytes:
    start, end = _slice(dice, body)
    return body[:start] + body[end:]


def _cut(dice: random.Random, body: bytes) -> bytes:
    return body[: dice.randrange(len(body) + 1)]


def _repeat(dice: random.Random, body: bytes) -> bytes:
    start, end = _slice(dice, body)
    return body[:end] + body[start:end] * dice.choice((1, 2, 12)) + body[end:]


def _insert(dice: random.Random, body: bytes) -> bytes:
    place = dice.randrange(len(body) + 1)
    return body[:place] + dice.choice(_NOISE) + body[place:]


def _shuffle_events(dice: random.Random, body: bytes) -> bytes:
    events = re.split(rb"(?<=\n\n)|(?<=}\n)", body)
    one, other = dice.randrange(len(events)), dice.randrange(len(events))
    what = dice.randrange(3)
    if what == 0:
        events[one], events[other] = events[other], events[one]
    elif what == 1:
        events.insert(other, events[one])
    else:
        del events[one]
    return b"".join(events)


def _retype(dice: random.Random, body: bytes) -> bytes:
    """Put a value of another type somewhere into the JSON of an event."""
    found = list(re.finditer(rb"\{.*\}", body))
    if not found:
        return body
    event = dice.choice(found)
    try:
        value = json.loads(event[0])
    except (ValueError, RecursionError):
        return body
    places = list(_places(value))
    holder, key = dice.choice(places or [([value], 0)])
    holder[key] = dice.choice(_VALUES)
    return body[: event.start()] + json.dumps(value).encode() + body[event.end() :]


def _places(value: Any) -> list[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    places = []
    for key, inner in pairs if isinstance(value, dict | list) else ():
        places.append((value, key))
        places += _places(inner) if isinstance(inner, dict | list) else []
    return places


_DAMAGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(_flip, _lose, _cut, _repeat, _insert, _shuffle_events, _retype, _retype),
)


class _Recorded:
    """What the HTTP library would give for a damaged answer."""

    is_stream_consumed = False
    is_closed = False

    def __init__(self, damaged: Damaged) -> None:
        self._pieces = damaged.pieces
        self.status_code = damaged.status
        self.headers = {"content-type": damaged.kind}

    @property
    async def stream(self) -> AsyncIterator[bytes]:
        """The body in its pieces."""
        for piece in self._pieces:
            yield piece


class Replaying:
    """Takes the place of the transport: gives the `damaged` answer that it is told to."""

    damaged: Damaged

    async def open(self, outgoing: Outgoing, clock: Clock) -> Incoming:
        """Answer with the damaged recording."""
        clock.opened()
        return Incoming(_Recorded(self.damaged), outgoing, clock)  # type: ignore[arg-type]


@cache
def _connector(dialect: str) -> tuple[Replaying, LLMProvider]:
    replaying = Replaying()
    config = LLMConfig(
        "http://localhost:1/v1",
        "m",
        api_key=KEY,
        dialect=dialect,
        limits=Limits(max_line_bytes=20_000, max_body_bytes=50_000),
        retry=RetryPolicy(attempts=1, sleep=no_wait),
    )
    return replaying, LLMProvider(config, transport=replaying)  # type: ignore[arg-type]


async def replay(damaged: Damaged) -> tuple[str, str]:
    """Ask for a damaged answer; tell how it ended, and the text of an answer."""
    replaying, llm = _connector(damaged.recording.dialect)
    replaying.damaged = damaged
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            if damaged.recording.streamed:
                stream = llm.stream("q")
                text = "".join([piece async for piece in stream])
                response = stream.response
                assert response.content == text
            else:
                response = await llm.complete("q")
    except LLMError as error:
        said = str(error)
        assert said
        assert KEY not in said
        assert "\n" not in said
        return type(error).__name__, ""
    assert isinstance(response.content, str)
    counts = response.usage.values()
    assert all(type(count) is int and count >= 0 for count in counts), response.usage
    assert all(isinstance(call.arguments, dict) for call in response.tool_calls)
    return "answer", response.content


def replay_all(first: int, count: int) -> Counter[str]:
    """Replay so many damaged answers; tell how they ended, and the longest time in milliseconds."""

    async def run() -> Counter[str]:
        ends: Counter[str] = Counter()
        for number in range(first, first + count):
            begun = time.perf_counter()
            try:
                ends[(await replay(mutated(number)))[0]] += 1
            except Exception as error:
                raise AssertionError(f"mutation {number}: {error!r}") from error
            taken = round((time.perf_counter() - begun) * 1000)
            ends["longest ms"] = max(ends["longest ms"], taken)
        return ends

    return bridge.run(run())


if __name__ == "__main__":
    total = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for start in range(seed, seed + total, 10_000):
        print(start, dict(replay_all(start, min(10_000, seed + total - start))), flush=True)  # noqa: T201
