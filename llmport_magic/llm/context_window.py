"""Whether a request fits into a model's window, estimated before anything is sent.

Where the window is not known, nothing is checked: the server says it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from llmport_magic.errors import LLMContextError
from llmport_magic.llm.cost import estimate_tokens, family_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmport_magic.llm.capabilities import LLMCapabilities
    from llmport_magic.llm.wire import Call

# A picture is counted by its size, by each vendor in another way; one of 1024 x 1024 pixels has
# 765 to 1,450 tokens with most of them. This is between.
PICTURE_TOKENS = 1_000
# What is left for an answer where the estimate leaves nothing: the server counts exactly.
_LEAST_ANSWER = 256
# No tokeniser that we measured (see `cost.py`) gets as many characters into one token.
_MOST_ASCII, _MOST_OTHERS = 6.0, 5.0
_SPACE = re.compile(r"\s+")


def prompt_tokens(call: Call) -> int:
    """Estimate the tokens of what is sent: texts, tools, a schema, 1,000 for each picture."""
    family = family_named(call.model)
    return sum(estimate_tokens(text, family) for text in _texts(call)) + _pictures(call)


def fitted(call: Call, capabilities: LLMCapabilities, provider: str) -> Call:
    """Give a call whose answer is no longer than what its prompt leaves of the window.

    Args:
        call: what is asked.
        capabilities: of the model; the option `num_ctx` of a local server wins over its window.
        provider: who is asked, for the message.

    Raises:
        LLMContextError: the prompt alone is longer than the window, however it is counted.
    """
    told = call.options.get("num_ctx")
    window = told if isinstance(told, int) and told > 0 else capabilities.max_context_window
    # A character has at most four bytes and a token at least one: most calls end here.
    longest = 4 * sum(map(len, _texts(call))) + _pictures(call)
    answer = call.max_tokens or call.output_limit
    if window is None or longest + (answer or 0) <= window:
        return call
    prompt = prompt_tokens(call)
    if prompt > window and _least_tokens(call) > window:
        room = f", and its answer may have {call.max_tokens:,}" if call.max_tokens else ""
        raise LLMContextError(
            f"nothing was sent: the prompt has about {prompt:,} tokens{room}, but `{call.model}` "
            f"of `{provider}` takes {window:,} for both: shorten the prompt or its context, or "
            "ask a model with a larger window",
            prompt_tokens=prompt,
            max_tokens=call.max_tokens,
            window=window,
            provider=provider,
            model=call.model,
        )
    left = max(window - prompt, _LEAST_ANSWER)
    return replace(
        call,
        max_tokens=call.max_tokens and min(call.max_tokens, left),
        output_limit=call.output_limit and min(call.output_limit, left),
    )


def _least_tokens(call: Call) -> int:
    """Count from below, so that no prompt is refused that fits: runs of spaces are one."""
    texts = [_SPACE.sub(" ", text) for text in _texts(call)]
    plain = sum(len(text.encode("ascii", "ignore")) for text in texts)
    others = sum(map(len, texts)) - plain
    return int(plain / _MOST_ASCII + others / _MOST_OTHERS)


def _texts(call: Call) -> Iterator[str]:
    for message in call.messages:
        yield message.content
        for asked in message.tool_calls:
            yield asked.name
            yield asked.text or str(asked.arguments)
    for tool in call.tools:
        yield tool.name
        yield tool.description
        yield str(tool.parameters)
    if call.json_schema:
        yield str(call.json_schema)
    if call.prefill:
        yield call.prefill


def _pictures(call: Call) -> int:
    return PICTURE_TOKENS * sum(len(message.images) for message in call.messages)
