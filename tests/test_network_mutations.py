"""Answers that were damaged at random, in their bytes, their JSON or their HTTP, do end."""

from __future__ import annotations

import asyncio
import random

import pytest
from asking import KEY, no_wait
from mutations import Damaged, Recording, mutated, recordings, replay, replay_all

from llmport_magic.errors import LLMError
from llmport_magic.llm.provider import LLMConfig, LLMProvider
from llmport_magic.llm.retry import RetryPolicy

_PIECES = 4
_EACH = 1_000


@pytest.mark.parametrize("piece", range(_PIECES))
def test_damaged_answers_of_every_dialect_end(piece: int) -> None:
    """Thousands of damaged answers end in an answer or an error of ours (S0-19, S3-60)."""
    ends = replay_all(piece * _EACH, _EACH)

    # How long one took is for those who run the file, see its end.
    del ends["longest ms"]
    assert sum(ends.values()) == _EACH
    assert set(ends) >= {"answer", "LLMStatusError", "LLMStreamError"}


def _kind(recording: Recording) -> str:
    if not recording.streamed:
        return "application/json"
    return "application/x-ndjson" if recording.dialect == "ollama_chat" else "text/event-stream"


@pytest.mark.parametrize("recording", recordings())
async def test_what_is_damaged_was_whole(recording: Recording) -> None:
    """Without damage each recording ends as it should: what is replayed is what vendors send."""
    whole = Damaged(recording, _kind(recording), recording.status, (recording.body,))

    assert (await replay(whole))[0] == recording.end


def test_a_number_makes_the_same_damage() -> None:
    """A failure can be made again from its number."""
    assert mutated(12_345) == mutated(12_345)
    assert len({mutated(number).pieces for number in range(200)}) > 180


_BODY = b'{"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}'
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
_GOOD = (
    b"%scontent-length: %d\r\n\r\n%s" % (_HEAD, len(_BODY), _BODY),
    b"%stransfer-encoding: chunked\r\n\r\n20\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n"
    % (_HEAD, _BODY[:32], len(_BODY) - 32, _BODY[32:]),
)


def _harmless(error: LLMError) -> bool:
    return "\n" not in str(error) and KEY not in str(error)


async def test_damaged_http_ends() -> None:
    """Heads, lengths and chunk sizes that were damaged are errors of ours or do no harm (S4-19)."""
    dice = random.Random(1)
    answers = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        sent = bytearray(dice.choice(_GOOD))
        for _ in range(dice.choice((0, 1, 1, 2, 5))):
            place = dice.randrange(len(sent))
            if dice.random() < 0.5:
                sent[place] ^= 1 << dice.randrange(8)
            else:
                sent[place : place + dice.randrange(4)] = dice.choice((b"", b"\r\n", b"\x00", b"9"))
        writer.write(bytes(sent))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        config = LLMConfig(
            url, "m", api_key=KEY, timeout_ms=60_000, retry=RetryPolicy(attempts=1, sleep=no_wait)
        )
        llm = LLMProvider(config)
        for _ in range(300):
            try:
                async with asyncio.timeout(120):
                    answers += bool((await llm.call("q")).content)
            except LLMError as error:
                assert _harmless(error)  # noqa: PT017 - an answer is as good

    assert 50 < answers < 290


@pytest.mark.parametrize("dialect", sorted({one.dialect for one in recordings()}))
async def test_a_stream_cut_anywhere_is_whole_or_an_error(dialect: str) -> None:
    """In no dialect does a stream that ends too soon pass for an answer with less text (S0-24)."""
    recording = next(one for one in recordings() if one.dialect == dialect and one.streamed)
    kind = _kind(recording)

    ends = [
        await replay(Damaged(recording, kind, 200, (recording.body[:place],)))
        for place in range(len(recording.body) + 1)
    ]

    whole = ("answer", "Hello, wörld 🙂 and\u2028more")
    assert ends[-1] == whole
    assert {end for end in ends if end[0] == "answer"} == {whole}
    assert {end[0] for end in ends} <= {"answer", "LLMStreamError"}
