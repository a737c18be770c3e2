"""Thoughts that a server leaves in the text, between `<think>` tags, in both formats."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import Loopback
from vendors import OllamaChat, OpenAIChat, asking

from llmport_magic.llm.dialects import dialect_named, openai_chat
from llmport_magic.llm.reply import Chunk
from llmport_magic.llm.think_tag import apart

WHOLE = "\n<think>\nHm, a < b?</thin\n</think>\n\nIt is <b>4</b>."
TEXT, THOUGHT = "It is <b>4</b>.", "Hm, a < b?</thin\n"
# What a text is, and how much of it is the answer and how much thought.
CASES = {
    "no tag": ("Four.", "Four.", ""),
    "white space": (" \n Four.\n", " \n Four.\n", ""),
    "nothing but white space": ("\n\n", "\n\n", ""),
    "more white space than is held back": (" " * 200 + "<think>x</think>y",) * 2 + ("",),
    "half a tag": ("<thi", "<thi", ""),
    "another tag": ("<thinker>4</thinker>", "<thinker>4</thinker>", ""),
    "a tag later on": ("Say <think>x</think>", "Say <think>x</think>", ""),
    "only the closing tag": ("Hm.</think>\n4", "Hm.</think>\n4", ""),
    "no thought": ("<think>\n\n</think>\n\n4", "4", ""),
    "no answer": ("<think>Hm.</think>\n", "", "Hm."),
    "no closing tag": ("<think>\nHm.</thi", "", "Hm.</thi"),
    "a second tag": ("<think>a</think>b<think>c</think>", "b<think>c</think>", "a"),
    "all of it": (WHOLE, TEXT, THOUGHT),
}
cases = pytest.mark.parametrize(("whole", "text", "thought"), CASES.values(), ids=CASES.keys())
dialects = pytest.mark.parametrize("dialect", ["openai_chat", "ollama_chat"])


def _event(dialect: str, text: str, end: str | None, **more: str) -> dict[str, Any]:
    message = {"content": text, **more}
    if dialect == "ollama_chat":
        return {"message": message, "done": end is not None, "done_reason": end}
    return {"choices": [{"index": 0, "delta": message, "finish_reason": end}]}


def _streamed(dialect: str, pieces: Sequence[str], **more: str) -> tuple[str, str]:
    reader = dialect_named(dialect).stream_reader()
    events = [_event(dialect, piece, None, **more) for piece in pieces]
    events.append(_event(dialect, "", "stop"))
    chunks = [chunk for event in events if (chunk := reader.read(event, ""))]
    assert reader.complete
    return "".join(c.text for c in chunks), "".join(c.reasoning for c in chunks)


@cases
def test_a_whole_text_is_split(whole: str, text: str, thought: str) -> None:
    """Only a text that begins with the tag is split, and without an end all of it is thought."""
    assert apart(whole) == (text, thought)


@cases
@dialects
def test_a_cut_anywhere_changes_nothing(dialect: str, whole: str, text: str, thought: str) -> None:
    """Wherever two cuts fall, a stream gives the same answer and the same thoughts."""
    for first, second in combinations(range(len(whole) + 1), 2):
        pieces = (whole[:first], whole[first:second], whole[second:])
        assert _streamed(dialect, pieces) == (text, thought)
    assert _streamed(dialect, tuple(whole)) == (text, thought)


@dialects
@given(parts=st.lists(st.sampled_from(["<think>", "</think>", "<", "</", "think>", "\n", "a"])))
def test_pieces_say_what_the_whole_says(dialect: str, parts: list[str]) -> None:
    """A stream of any such pieces is read as the whole text would be, and nothing else is lost."""
    text, thought = apart("".join(parts))
    assert _streamed(dialect, parts) == (text, thought)
    if not "".join(parts).lstrip().startswith("<think>"):
        assert (text, thought) == ("".join(parts), "")


@cases
def test_the_short_way_splits_as_the_long_one(whole: str, text: str, thought: str) -> None:
    """Events that are read without a dictionary are split in the same way."""
    reader = openai_chat.stream_reader()
    found: list[Chunk] = []
    for event in (*(_event("openai_chat", c, None) for c in whole), _event("openai_chat", "", "x")):
        chunk = reader.quick(json.dumps(event).encode()) or reader.read(event, "")
        found += [chunk] if isinstance(chunk, Chunk) else []
    assert "".join(c.text for c in found) == text
    assert "".join(c.reasoning for c in found) == thought


@dialects
def test_a_whole_answer_is_split(dialect: str) -> None:
    """A whole answer is read as its stream is."""
    event = _event(dialect, WHOLE, "stop")
    if dialect == "openai_chat":
        event["choices"][0]["message"] = event["choices"][0].pop("delta")
    chunk = dialect_named(dialect).read_reply(event)
    assert (chunk.text, chunk.reasoning) == (TEXT, THOUGHT)


@dialects
def test_a_server_that_tells_them_apart_is_believed(dialect: str) -> None:
    """Where thoughts have a field of their own, a tag in the text is the answer's."""
    field = "thinking" if dialect == "ollama_chat" else "reasoning_content"
    assert _streamed(dialect, ["<think>", " is a tag"], **{field: "hm"}) == (
        "<think> is a tag",
        "hmhm",
    )
    event = _event(dialect, "<think> is a tag", "stop", **{field: "hm"})
    chunk = dialect_named(dialect).read_reply(event)
    assert (chunk.text, chunk.reasoning) == ("<think> is a tag", "hm")


def test_a_text_that_is_continued_is_left_alone() -> None:
    """The plain completions format continues a text, and says whatever the model writes."""
    completions = dialect_named("openai_completions")
    choice = {"index": 0, "text": "<think>a</think>b", "finish_reason": "stop"}
    assert completions.read_reply({"choices": [choice]}).text == choice["text"]
    chunk = completions.stream_reader().read({"choices": [choice]}, "")
    assert getattr(chunk, "text", None) == choice["text"]


@pytest.mark.parametrize("vendor", [OpenAIChat(), OllamaChat()], ids=lambda each: each.dialect)
async def test_thoughts_are_apart_over_a_connection(vendor: Any) -> None:
    """Over a connection, too, the text is only the answer, plain and streamed."""
    with Loopback() as server:
        llm = asking(server, vendor)
        server.script(vendor.whole(WHOLE), vendor.stream(*WHOLE))
        whole = await llm.call("q")
        stream = llm.stream("q")
        assert "".join([piece async for piece in stream]) == TEXT
        assert (whole.content, whole.reasoning) == (TEXT, THOUGHT)
        assert (stream.response.content, stream.response.reasoning) == (TEXT, THOUGHT)
