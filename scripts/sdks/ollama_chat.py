"""The types and the client of ollama."""

# ruff: noqa: RUF012 - four classes of one shape, told in `package.py`

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sdks.calls import PICTURE, SYSTEM, USER
from sdks.package import KEY, SAMPLING, Conversation, Package, Results, dumped
from sdks.samples import unknown
from vendors import OllamaChat

from llmport_magic.llm.messages import Message
from llmport_magic.llm.reply import Chunk
from llmport_magic.llm.tools import Tool

PLAIN = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class Ollama(Package):
    """ollama."""

    vendor = OllamaChat()
    finish = {"stop": "stop", "length": "length", "load": "stop", "unload": "stop"}
    usage = {"prompt_tokens": {"prompt_eval_count"}, "completion_tokens": {"eval_count"}}
    uncounted = r"\w+_duration|message\..*"
    known = {
        r"`tools` null, theirs \[\]": "no tools, said or not",
        r"Ollama does not fetch pictures": "it takes only their bytes",
        r"Ollama cannot be told to call": "it has no choice of tools",
        r"message: tool_call(s\.(type|id|function\.index)|_id) is unknown": (
            "newer servers have it, see docs.ollama.com/openapi.yaml"
        ),
    }
    thinking = ({"type": "ollama_thinking", "text": "hm"},)
    options = {"top_k": 5, "num_ctx": 4096, "keep_alive": "5m", "think": "low", "logprobs": True}
    extra = {"top_logprobs": 2, "options": {"min_p": 0.1}}
    refused = ("think",)

    def faults(self, body: Any) -> list[str]:
        """Read a body as a request for a chat."""
        from ollama._types import ChatRequest
        from ollama._types import Message as Said
        from pydantic import ValidationError

        def read(kind: Any, value: Any) -> list[str]:
            kept = kind.model_validate(value).model_dump(
                mode="json", by_alias=True, exclude_unset=True
            )
            return unknown(value, kept)

        try:
            # The package passes a schema on as it is.
            tools = [
                {**t, "function": {**t["function"], "parameters": {}}}
                for t in body.get("tools", ())
            ]
            # Its client wraps the pictures' base64 before it reads a message.
            said = [
                {k: [{"value": p} for p in v] if k == "images" else v for k, v in each.items()}
                for each in body["messages"]
            ]
            found = read(ChatRequest, {**body, "messages": said, "tools": tools})
            inner = [each for message in said for each in read(Said, message)]
        except ValidationError as wrong:
            return [f"{e['loc']}: {e['msg']}" for e in wrong.errors()]
        return [f"{each} is unknown" for each in found] + [
            f"message: {e} is unknown" for e in inner
        ]

    def answers(self) -> Results:
        """Read whole answers."""
        from ollama import ChatResponse

        for data in dumped(ChatResponse):
            for reason in (*self.finish, None):
                text = data["message"].get("content") or ""
                finished = {**data, "done": True, "done_reason": reason}
                calls = data["message"].get("tool_calls") or ()
                names = [call["function"]["name"] for call in calls]
                yield f"an answer, {reason}", self.read(finished, text, reason, names)

    def events(self) -> Results:
        """Read the lines of streams."""
        from ollama import ChatResponse

        for data in dumped(ChatResponse):
            for done in (False, True):
                reader = self.dialect.stream_reader()
                chunk = reader.read({**data, "done": done, "done_reason": "stop"}, "") or Chunk()
                text = data["message"].get("content") or ""
                wrong = self.compared(chunk, data, text, "stop" if done else None)
                yield "a line", wrong or ("" if reader.complete == done else "the end is not seen")

    def counted(self) -> Results:
        """Read token counts."""
        from ollama import ChatResponse

        yield from self.counts(next(dumped(ChatResponse)), self.dialect.read_usage)

    def listed(self) -> Results:
        """Read a list of models."""
        from ollama import ListResponse

        body = next(dumped(ListResponse))
        names = [row["model"] for row in body["models"] if row.get("model")]
        yield from self.names(body, names)

    def conversations(self) -> Iterator[Conversation]:
        """Ask the same with both clients."""
        tool = {
            "type": "function",
            "function": {"name": "weather", "description": "d", "parameters": PLAIN},
        }

        def ask(root: str, stream: bool, messages: list[Any], **more: Any) -> None:
            import ollama

            client = ollama.Client(host=root, headers={"Authorization": f"Bearer {KEY}"})
            options = {"num_predict": 5, "temperature": 0.5, "stop": ["END"]}
            answer = client.chat(
                model="m", messages=messages, options=options, stream=stream, **more
            )
            if stream:
                list(answer)

        system, user = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}
        yield "a call", lambda r, s: ask(r, s, [system, user]), (SYSTEM, USER), SAMPLING
        seen = {**user, "images": [PICTURE.data]}
        looked = Message("user", "q", images=(PICTURE,))
        yield "a picture", lambda r, s: ask(r, s, [seen]), (looked,), SAMPLING
        yield (
            "tools",
            lambda r, s: ask(r, s, [user], tools=[tool], think=True),
            (USER,),
            {
                **SAMPLING,
                "tools": [Tool(name="weather", description="d", parameters=PLAIN)],
                "options": {"think": True},
            },
        )
