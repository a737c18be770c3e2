"""The types and the client of google-genai."""

# ruff: noqa: RUF012 - four classes of one shape, told in `package.py`

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from sdks.calls import ASKED, PICTURE, SCHEMA, SYSTEM, TOOLS, USER
from sdks.package import KEY, SAMPLING, Conversation, Package, Results, dumped
from sdks.samples import unknown
from vendors import GeminiContent

from llmport_magic.llm.messages import Message
from llmport_magic.llm.reply import Chunk


@cache
def _adapters() -> dict[str, Any]:
    from google.genai import types
    from pydantic import TypeAdapter

    kinds: dict[str, Any] = {
        "contents": list[types.Content],
        "systemInstruction": types.Content,
        "tools": list[types.Tool],
        "toolConfig": types.ToolConfig,
        "generationConfig": types.GenerationConfig,
        "safetySettings": list[types.SafetySetting],
    }
    return {name: TypeAdapter(kind) for name, kind in kinds.items()}


class Gemini(Package):
    """google-genai."""

    vendor = GeminiContent()
    finish = {
        "STOP": "stop",
        **dict.fromkeys(("MAX_TOKENS", "CONTINUATION"), "length"),
        **dict.fromkeys(
            (
                "SAFETY",
                "RECITATION",
                "LANGUAGE",
                "BLOCKLIST",
                "PROHIBITED_CONTENT",
                "SPII",
                "IMAGE_SAFETY",
                "IMAGE_PROHIBITED_CONTENT",
                "IMAGE_RECITATION",
                "ESCALATION",
                "PUP_LIMITED_DISABLED",
                "MODEL_ARMOR",
            ),
            "content_filter",
        ),
        **dict.fromkeys(
            (
                "FINISH_REASON_UNSPECIFIED",
                "OTHER",
                "MALFORMED_FUNCTION_CALL",
                "IMAGE_OTHER",
                "NO_IMAGE",
                "UNEXPECTED_TOOL_CALL",
                "TOO_MANY_TOOL_CALLS",
                "MALFORMED_RESPONSE",
                "MISSING_THOUGHT_SIGNATURE",
            ),
            "error",
        ),
    }
    usage = {
        "prompt_tokens": {"promptTokenCount", "toolUsePromptTokenCount"},
        "completion_tokens": {"candidatesTokenCount", "thoughtsTokenCount"},
        "total_tokens": {"totalTokenCount"},
        "cached_tokens": {"cachedContentTokenCount"},
        "reasoning_tokens": {"thoughtsTokenCount"},
        "prompt_audio_tokens": {"promptTokensDetails[AUDIO].tokenCount"},
        "completion_audio_tokens": {"candidatesTokensDetails[AUDIO].tokenCount"},
    }
    uncounted = r"(cache|toolUsePrompt|prompt|candidates)TokensDetails\[\w+\]\.tokenCount"
    known = {
        r"path /v1beta/(\S+), theirs /v1/\1": "v1, their default since 3.0.0, has fewer models"
    }
    thinking = (
        {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "Let me see.", "thoughtSignature": "c2ln", "at": 0},
    )
    options = {"topK": 5, "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "low"}}
    extra = {
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "generationConfig": {"candidateCount": 1},
    }
    refused = (
        *("temperature", "topP", "topK", "seed", "stopSequences", "thinkingConfig"),
        *("responseMimeType", "responseJsonSchema", "systemInstruction", "thoughtSignature"),
    )

    def faults(self, body: Any) -> list[str]:
        """Read a body field by field: the package has no type for the whole."""
        from pydantic import ValidationError

        found = []
        for name, value in body.items():
            if name not in _adapters():
                found.append(f"`{name}` is no field")
                continue
            adapter = _adapters()[name]
            try:
                read = adapter.validate_json(json.dumps(value))
            except ValidationError as wrong:
                found += [f"{name} {e['loc']}: {e['msg']}" for e in wrong.errors()]
                continue
            kept = adapter.dump_python(read, mode="json", by_alias=True, exclude_unset=True)
            found += [f"{name}: {each} is unknown" for each in unknown(value, kept)]
        return found

    def answers(self) -> Results:
        """Read whole answers."""

        def read(data: Any, text: str, finish: str | None) -> str:
            parts = (data["candidates"][0].get("content") or {}).get("parts") or ()
            calls = [part["functionCall"] for part in parts if part.get("functionCall") is not None]
            names = [call.get("name") or "" for call in calls]
            return self.read(data, text, finish, names)

        yield from self._read(read)

    def events(self) -> Results:
        """Read events, which have the shape of answers."""

        def read(data: Any, text: str, finish: str | None) -> str:
            reader = self.dialect.stream_reader()
            wrong = self.compared(reader.read(data, "") or Chunk(), data, text, finish)
            return wrong or ("" if reader.complete or not finish else "the end is not seen")

        yield from self._read(read)

    def _read(self, read: Callable[[Any, str, str | None], str]) -> Results:
        from google.genai.types import Candidate, GenerateContentResponse, Part

        whole = next(dumped(GenerateContentResponse))
        for part in dumped(Part):
            candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
            spoken = not part.get("thought") and part.get("functionCall") is None
            text = (part.get("text") or "") if spoken else ""
            kind = next((name for name in part if len(part) == 1), "all of a part")
            yield kind, read({**whole, "candidates": [candidate]}, text, "STOP")
        for candidate in dumped(Candidate):
            one = {**candidate, "content": {"parts": [{"text": "words"}]}, "index": 0}
            finish = candidate.get("finishReason")
            yield f"an end by {finish}", read({**whole, "candidates": [one]}, "words", finish)
            bare = {name: value for name, value in one.items() if name != "content"}
            yield f"nothing, by {finish}", read({**whole, "candidates": [bare]}, "", finish)

    def counted(self) -> Results:
        """Read token counts."""
        from google.genai.types import GenerateContentResponseUsageMetadata

        usage = next(dumped(GenerateContentResponseUsageMetadata))
        yield from self.counts(usage, lambda u: self.dialect.read_usage({"usageMetadata": u}))

    def errors(self) -> Results:
        """Read prompts that were blocked, for every reason."""
        from google.genai.types import GenerateContentResponsePromptFeedback

        for feedback in dumped(GenerateContentResponsePromptFeedback):
            details = self.dialect.read_error({"promptFeedback": feedback})
            right = (details is not None) == bool(feedback.get("blockReason"))
            right &= details is None or details.code == "content_filter"
            yield f"blocked by {feedback.get('blockReason')}", "" if right else f"{details}"

    def listed(self) -> Results:
        """Read a list of models; the package gives their actions another name."""
        from google.genai.types import Model

        rows = [
            {**row, "name": f"models/m{n}", "supportedGenerationMethods": ["generateContent"]}
            for n, row in enumerate(dumped(Model))
        ]
        yield from self.names({"models": rows}, [f"m{n}" for n in range(len(rows))])

    def conversations(self) -> Iterator[Conversation]:
        """Ask the same with both clients."""
        from google.genai import types

        tools = [
            types.FunctionDeclaration(
                name=tool.name,
                description=tool.description or None,
                parameters_json_schema=tool.parameters if tool is TOOLS[0] else None,
            )
            for tool in TOOLS
        ]
        picture = types.Part.from_bytes(data=PICTURE.data, mime_type=PICTURE.media_type)
        asked = types.FunctionCall(name="weather", args={"city": "Rom"}, id="call_a")
        signed = types.Part(function_call=asked, thought_signature=b"signature")
        answer = types.FunctionResponse(id="call_a", name="weather", response={"rain": 1})
        config = types.ToolConfig(function_calling_config={"mode": "ANY"})

        def ask(root: str, stream: bool, contents: list[Any], **more: Any) -> None:
            from google import genai

            client = genai.Client(api_key=KEY, http_options={"base_url": root})
            settings = types.GenerateContentConfig(
                system_instruction=types.Content(parts=[types.Part(text="Be brief.")]),
                max_output_tokens=5,
                temperature=0.5,
                stop_sequences=["END"],
                automatic_function_calling={"disable": True},
                **more,
            )
            given = {"model": "m", "contents": contents, "config": settings}
            if stream:
                list(client.models.generate_content_stream(**given))
            else:
                client.models.generate_content(**given)

        question = types.Content(role="user", parts=[types.Part(text="q")])
        seen = types.Content(role="user", parts=[picture, types.Part(text="q")])
        calling = types.Content(role="model", parts=[signed])
        results = types.Content(role="user", parts=[types.Part(function_response=answer)])
        yield "a call", lambda r, s: ask(r, s, [question]), (SYSTEM, USER), SAMPLING
        looked = Message("user", "q", images=(PICTURE,))
        yield "a picture", lambda r, s: ask(r, s, [seen]), (SYSTEM, looked), SAMPLING
        schema = {"response_mime_type": "application/json", "response_json_schema": SCHEMA}
        more = {**schema, "tools": [types.Tool(function_declarations=tools)], "tool_config": config}
        yield (
            "tools answered, a schema",
            lambda r, s: ask(r, s, [question, calling, results], **more),
            (
                *(SYSTEM, USER, Message("assistant", "", tool_calls=ASKED[:1])),
                Message.tool_result(ASKED[0], {"rain": 1}),
            ),
            {**SAMPLING, "tools": TOOLS, "tool_choice": "required", "json_schema": SCHEMA},
        )
