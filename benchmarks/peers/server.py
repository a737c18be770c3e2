"""A server on the loopback that is faster than any client: every answer is bytes made beforehand.

    python benchmarks/peers/server.py     prints its port, ends when its input is closed

The first part of a path says what comes, the rest is that of the API that is asked: OpenAI's
`chat/completions` or Anthropic's `messages`.

    /plain/…    one JSON object
    /short/…    a stream of eight events, each in a write of its own
    /each/…     a stream of 2,000 events, each in a write of its own
    /packed/…   the same with 32 events in a write
    /paced/…    a stream of 100 events, one every 2 ms
    /endless/…  one event every 5 ms until the client hangs up
    /report     how many endless streams are open, and when the last one was closed
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

EVENTS, SHORT, PACKED, PACED = 2_000, 8, 32, 100
PACE_SECONDS, ENDLESS_SECONDS = 0.002, 0.005
TEXT = "It is the ratio of a circle's circumference to its diameter. " * 6
# Of one length, and no two alike in a row: litellm ends a stream that repeats itself.
WORDS = (" pi is", " about", " three", " point", " one 4", " one 5", " nine2", " six 5")


def _event(data: dict[str, Any], name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _openai() -> tuple[bytes, bytes, list[bytes], bytes]:
    head = {"id": "chatcmpl-C1x9vQ4b7TzKq2mRn8sWd0LfEa", "created": 1795219200, "model": "m-1"}
    usage = {"prompt_tokens": 12, "completion_tokens": EVENTS, "total_tokens": EVENTS + 12}

    def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event(
            head
            | {"object": "chat.completion.chunk", "system_fingerprint": "fp_44709d6fcb"}
            | {"choices": [choice], "usage": None}
        )

    last = head | {"object": "chat.completion.chunk", "choices": [], "usage": usage}
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    whole = head | {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage,
    }
    return (
        json.dumps(whole).encode(),
        chunk({"role": "assistant", "content": ""}),
        [chunk({"content": word}) for word in WORDS],
        chunk({}, "stop") + _event(last) + b"data: [DONE]\n\n",
    )


def _anthropic() -> tuple[bytes, bytes, list[bytes], bytes]:
    usage = {"input_tokens": 12, "output_tokens": EVENTS}
    message = {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    begin = {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}
    begin["content_block"]["text"] = ""

    def delta(word: str) -> bytes:
        text = {"type": "text_delta", "text": word}
        data = {"type": "content_block_delta", "index": 0, "delta": text}
        return _event(data, "content_block_delta")

    end = {"stop_reason": "end_turn", "stop_sequence": None}
    return (
        json.dumps(
            message | {"content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn"}
        ).encode(),
        _event({"type": "message_start", "message": message | {"content": []}}, "message_start")
        + _event(begin, "content_block_start"),
        [delta(word) for word in WORDS],
        _event({"type": "content_block_stop", "index": 0}, "content_block_stop")
        + _event({"type": "message_delta", "delta": end, "usage": usage}, "message_delta")
        + _event({"type": "message_stop"}, "message_stop"),
    )


def _body(data: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(data)}"
    return f"{head}\r\nx-request-id: r-1\r\n\r\n".encode() + data


def _piece(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    b"x-request-id: r-1\r\n\r\n"
)
END = b"0\r\n\r\n"


class Answers:
    """What one API answers: lists of writes."""

    def __init__(self, whole: bytes, first: bytes, words: list[bytes], last: bytes) -> None:
        events = [words[number % len(words)] for number in range(EVENTS)]
        groups = [b"".join(events[n : n + PACKED]) for n in range(0, EVENTS, PACKED)]
        self.begin = STREAM_HEAD + _piece(first)
        self.words = [_piece(word) for word in words]
        self.finish = _piece(last) + END
        each = [_piece(event) for event in events]
        self.writes = {
            "plain": [_body(whole)],
            "short": [self.begin, *each[:SHORT], self.finish],
            "each": [self.begin, *each, self.finish],
            "packed": [self.begin, *map(_piece, groups), self.finish],
        }


APIS = {"completions": Answers(*_openai()), "messages": Answers(*_anthropic())}


class Server(asyncio.Protocol):
    """One connection."""

    open = 0
    closed_at = 0.0

    def __init__(self) -> None:
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None
        self._endless = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        _, said, size = lower.partition(b"content-length:")
        length = int(size.split(b"\r\n", 1)[0]) if said else 0
        if len(rest) < length:
            return
        self._received = rest[length:]
        self._answer(head.split(b" ", 2)[1].decode())

    def connection_lost(self, _: Exception | None) -> None:
        """Note the moment."""
        if self._timer is not None:
            self._timer.cancel()
        if self._endless:
            Server.open -= 1
            Server.closed_at = time.monotonic()

    def _answer(self, path: str) -> None:
        mode, api = path.split("/")[1], path.rpartition("/")[2]
        if mode == "report":
            told = {"open": Server.open, "closed_at": Server.closed_at}
            self._transport.write(_body(json.dumps(told).encode()))
            return
        answers = APIS[api]
        if mode in answers.writes:
            for data in answers.writes[mode]:
                self._transport.write(data)
            return
        self._transport.write(answers.begin)
        if mode == "paced":
            self._repeat(answers, PACE_SECONDS, PACED)
        else:
            self._endless = True
            Server.open += 1
            self._repeat(answers, ENDLESS_SECONDS, sys.maxsize)

    def _repeat(self, answers: Answers, pause: float, times: int) -> None:
        if times == 0:
            self._transport.write(answers.finish)
            return
        self._transport.write(answers.words[times % len(answers.words)])
        self._timer = asyncio.get_running_loop().call_later(
            pause, self._repeat, answers, pause, times - 1
        )


async def main() -> None:
    """Serve until standard input is closed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=1_000)
    print(server.sockets[0].getsockname()[1], flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
