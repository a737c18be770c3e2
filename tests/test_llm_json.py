"""Answers in JSON: whoever answers, what comes back is JSON as asked, or an error says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import asking
from loopback import Loopback, raw, reply, streamed

from llmport_magic.errors import LLMContentError, LLMOutputError, UsageError
from llmport_magic.llm import BaseLLMConnector, LLMResponse, Message
from llmport_magic.llm.json_replies import instructed, read_json

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "pets": {"type": "array", "items": {"$ref": "#/$defs/pet"}},
    },
    "required": ["name"],
    "$defs": {"pet": {"type": "object", "properties": {"age": {"type": "integer"}}}},
}
CODE = '{"code": "```python\\nx = {1: [2]}\\n```"}'


class Legacy(BaseLLMConnector):
    """What a third party writes: a key of its own and one method."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.prompts: list[str] = []

    def call_llm(self, prompt: str) -> str:
        """Give the next answer."""
        self.prompts.append(prompt)
        return self.answers.pop(0)


class Own(BaseLLMConnector):
    """A third party's class with a `complete()` of its own."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    async def complete(self, messages: Any, **options: Any) -> LLMResponse:
        """Give the next answer."""
        self.asked.append(messages)
        return LLMResponse(self.answers.pop(0), provider="own")


# Reading


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('\ufeff \n{"a": 1}\n', '{"a": 1}'),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('```\n{"a": 1}\n```\nThat is all {really}.', '{"a": 1}'),
        ('{"a": 1} I hope that this helps: {"b": 2}', '{"a": 1}'),
        ('Here it is:\n\n{"a": [{}]}', '{"a": [{}]}'),
        (CODE, CODE),
        (f"```json\n{CODE}\n```", CODE),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ('{"ключ": "\u2028東京"}', '{"ключ": "\u2028東京"}'),
    ],
)
def test_the_object_is_found(text: str, found: str) -> None:
    """Fences and the prose around an object are dropped; what is in its strings is not (S2-03)."""
    assert read_json(text) == found


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("I cannot do that.", "no JSON"),
        ('[{"a": 1}]', "a list, not an object"),
        ('```json\n[{"a": 1}]\n```', "a list, not an object"),
        ('{"a": NaN}', "NaN"),
        ('{"a": [-Infinity]}', "-Infinity"),
        ('{"a": 1', "not JSON"),
        ("{'a': 1}", "not JSON"),
        ('{"a": 1,}', "not JSON"),
        ('{"a": "line\nbreak"}', "not JSON"),
        ('{"a":' * 100_000, "nested"),
    ],
)
def test_what_is_no_object_is_told(text: str, wrong: str) -> None:
    """Lists, broken JSON and values that JSON has no word for are named (S2-03)."""
    with pytest.raises(ValueError, match=wrong):
        read_json(text)


def test_a_violation_is_named_by_its_place() -> None:
    """What does not fit the schema is told with the path that leads to it (S2-03)."""
    with pytest.raises(ValueError, match=r"pets\[1\]\.age.*'x' is not of type 'integer'"):
        read_json('{"name": "n", "pets": [{"age": 1}, {"age": "x"}]}', PERSON)
    with pytest.raises(ValueError, match="'name' is a required property"):
        read_json("{}", PERSON)
    assert read_json('{"name": "n"}', PERSON) == '{"name": "n"}'


def test_a_deep_value_is_no_crash() -> None:
    """A value that is deeper than Python can go is refused, by its schema's reading, too."""
    deep = '{"a":' * 900 + "1" + "}" * 900

    with pytest.raises(ValueError, match="nested"):
        read_json(deep, {"type": "object", "properties": {"a": {"$ref": "#"}}})


def test_a_schema_may_ask_for_something_else() -> None:
    """What is a list or a number by its schema need not be an object."""
    assert read_json("So: [1, 2]", {"type": "array"}) == "[1, 2]"
    assert read_json('So: {"a": 1}', {"type": ["object", "null"]}) == '{"a": 1}'
    assert read_json("```\n42\n```", {"type": "integer"}) == "42"
    with pytest.raises(ValueError, match="a list, not an object"):
        read_json("[1]", {"properties": {}})


def test_a_schema_of_another_machine_is_not_fetched() -> None:
    """An address in a schema is an error, not a request."""
    with pytest.raises(UsageError, match="json_schema"):
        read_json("{}", {"$ref": "https://schemas.example/person.json"})


# Asking


def test_the_word_is_said_where_it_is_missing() -> None:
    """The model is told once, in the system's message; a schema is always told (S2-03)."""
    plain = (Message("user", "who?"),)
    (system, user) = instructed(plain, None)
    assert (str(system.role), user) == ("system", plain[0])
    assert "JSON" in system.content
    assert instructed((Message("user", "as json"),), None) == [Message("user", "as json")]
    (both,) = instructed((Message("system", "Be brief."),), PERSON)
    assert both.content.startswith("Be brief.")
    assert json.dumps(PERSON) in both.content
    assert instructed((both,), PERSON) == [both]


async def test_openai_is_asked_as_it_wants_to_be(server: Loopback) -> None:
    """The flag is set, and some message has the word without which OpenAI answers 400 (S2-03)."""
    server.always(reply('{"a": 1}'))

    response = await asking(server).call("q", json_mode=True)

    body = server.requests[0].json
    assert response.content == '{"a": 1}'
    assert body["response_format"] == {"type": "json_object"}
    assert "json" in json.dumps(body["messages"]).lower()


def _anthropic(text: str) -> dict[str, Any]:
    block = {"type": "text", "text": text}
    usage = {"input_tokens": 1, "output_tokens": 1}
    return {"type": "message", "content": [block], "stop_reason": "end_turn", "usage": usage}


def _gemini(text: str) -> dict[str, Any]:
    content = {"role": "model", "parts": [{"text": text}]}
    return {"candidates": [{"content": content, "finishReason": "STOP"}]}


def _ollama(text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}, "done": True}


def _openai(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}


def _completions(text: str) -> dict[str, Any]:
    return {"choices": [{"text": text, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("dialect", "answer", "wish"),
    [
        ("openai_chat", _openai, "json_object"),
        ("openai_completions", _completions, "JSON object"),
        ("anthropic_messages", _anthropic, "JSON object"),
        ("gemini_content", _gemini, "application/json"),
        ("ollama_chat", _ollama, "JSON object"),
    ],
)
async def test_every_dialect_gives_checked_json(
    server: Loopback, dialect: str, answer: Any, wish: str
) -> None:
    """In each format the wish is on the wire, and a fenced answer comes back clean (S2-03)."""
    server.script(
        raw(json.dumps(answer("nothing"))),
        raw(json.dumps(answer('```json\n{"name": "n"}\n``` Done.'))),
    )

    text = await asking(server, dialect=dialect, model="m-1").generate_text("q", json_mode=True)

    assert text == '{"name": "n"}'
    assert all(wish in json.dumps(request.json) for request in server.requests)
    assert "there is no JSON in it" in json.dumps(server.requests[1].json)


async def test_ollama_is_told_in_words_and_by_its_format(server: Loopback) -> None:
    """Ollama gets its flag and the schema, and reads of both in the prompt (S2-03)."""
    message = {"role": "assistant", "content": '{"name": "n"}'}
    server.always(raw(json.dumps({"model": "m", "message": message, "done": True})))
    llm = asking(server, dialect="ollama_chat", base_url=server.url.removesuffix("/v1"))

    assert json.loads(await llm.generate_text("q", json_mode=True))["name"] == "n"
    await llm.call("q", json_schema=PERSON)

    first, second = (request.json for request in server.requests)
    assert (first["format"], second["format"]) == ("json", PERSON)
    assert "JSON" in first["messages"][0]["content"]
    assert json.dumps(PERSON) in second["messages"][0]["content"]


@pytest.mark.parametrize("kind", [Legacy, Own])
async def test_a_class_of_a_third_party_gives_json_too(kind: Any) -> None:
    """Whatever a connector defines, its JSON is asked for, cleaned and checked (S2-03)."""
    llm = kind('Sure!\n```json\n{"a": 1}\n```')

    response = await llm.call("who?", json_mode=True)

    assert response.content == '{"a": 1}'
    sent = str(llm.prompts if kind is Legacy else llm.asked)
    assert "who?" in sent
    assert "JSON" in sent


async def test_a_call_without_the_wish_is_left_alone() -> None:
    """Without json_mode an answer stays as the model wrote it, and the prompt as it was given."""
    llm = Legacy('```json\n{"a": 1}\n```')

    assert (await llm.call("who?")).content.startswith("```")
    assert llm.prompts == ["who?"]


# Repairing


async def test_a_bad_answer_is_sent_back_once(server: Loopback) -> None:
    """The model is told what was wrong; both calls are counted (S2-03)."""
    server.script(reply('[{"name": "n"}]'), reply('{"name": "n"}'))
    llm = asking(server)

    response = await llm.call("who?", json_schema=PERSON, max_tokens=50)

    assert response.content == '{"name": "n"}'
    assert response.usage["total_tokens"] == 20 == llm.usage_total["total_tokens"]
    assert response.metadata["sends"] == 2
    first, second = (request.json for request in server.requests)
    *before, said, complaint = second["messages"]
    assert before == first["messages"]
    assert said == {"role": "assistant", "content": '[{"name": "n"}]'}
    assert "is not of type 'object'" in complaint["content"]
    assert second["max_tokens"] == 50


async def test_two_bad_answers_are_an_error_that_keeps_the_text() -> None:
    """There is one repair; then the error says what is wrong and has what was said (S2-03)."""
    llm = Own('{"a": NaN}', "no", "never asked")

    with pytest.raises(LLMOutputError, match="no JSON in it") as caught:
        await llm.call("q", json_mode=True)

    assert caught.value.text == "no"
    assert caught.value.provider == "own"
    assert "NaN, which is no value of JSON" in llm.asked[1][-1].content
    assert len(llm.asked) == 2
    assert "\n" not in str(caught.value)


async def test_an_answer_that_was_cut_off_is_not_repaired(server: Loopback) -> None:
    """Half an object is an error about the limit, and nobody is asked again (S2-03)."""
    server.always(reply('{"a": [1, 2', finish="length"))

    with pytest.raises(LLMOutputError, match=r"cut off.*max_tokens") as caught:
        await asking(server).call("q", json_mode=True)

    assert caught.value.text == '{"a": [1, 2'
    assert len(server.requests) == 1


async def test_a_whole_object_before_the_limit_is_one(server: Loopback) -> None:
    """White space up to the limit, which models write in JSON mode, does no harm."""
    server.always(reply('{"a": 1}' + " \n" * 500, finish="length"))

    assert (await asking(server).call("q", json_mode=True)).content == '{"a": 1}'


async def test_a_refusal_is_not_repaired(server: Loopback) -> None:
    """What was filtered is an error about the content, and nobody is asked again."""
    server.always(reply("I cannot.", finish="content_filter"))

    with pytest.raises(LLMContentError, match="I cannot"):
        await asking(server).call("q", json_mode=True)

    assert len(server.requests) == 1


async def test_a_call_of_a_tool_is_no_json(server: Loopback) -> None:
    """A model that wants a tool first has not answered yet: its call is given as it is."""
    function = {"name": "f", "arguments": "{}"}
    message = {"content": None, "tool_calls": [{"id": "1", "function": function}]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    server.always(raw(json.dumps({"choices": [choice]})))

    response = await asking(server).call("q", json_mode=True, tools=[{"name": "f"}])

    assert [call.name for call in response.tool_calls] == ["f"]


async def test_the_start_that_was_given_belongs_to_the_answer() -> None:
    """An answer that begins in its prefill is read with it, or alone where it repeats it."""
    goes_on, repeats = Own('"b": {}}'), Own('{"b": {}}')

    for llm in (goes_on, repeats):
        response = await llm.call("q", json_mode=True, prefill="{")
        assert json.loads(response.content) == {"b": {}}


async def test_a_schema_that_is_none_is_refused_before_the_call() -> None:
    """A mistake in the schema is the user's, and nobody is asked."""
    llm = Own()

    with pytest.raises(UsageError, match="json_schema"):
        await llm.call("q", json_schema={"type": "objekt"})

    assert llm.asked == []


async def test_a_reference_to_nothing_is_the_users_mistake() -> None:
    """A schema whose fault shows with the answer is no reason to ask the model again."""
    llm = Own('{"a": 1}')

    with pytest.raises(UsageError, match="json_schema"):
        await llm.call("q", json_schema={"properties": {"a": {"$ref": "#/nowhere"}}})

    assert len(llm.asked) == 1


async def test_a_stream_is_given_as_it_comes(server: Loopback) -> None:
    """A stream carries the wish, and its text is not checked."""
    server.script(streamed("```json\n", '{"a": 1}'))

    texts = [text async for text in asking(server).stream("q", json_mode=True)]

    assert texts == ["```json\n", '{"a": 1}']
    assert server.requests[0].json["response_format"] == {"type": "json_object"}
