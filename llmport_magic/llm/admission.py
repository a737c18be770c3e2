"""A call's way past the limits of the account that it asks: what it takes, waits and gives back.

An account is a provider, the server it is asked at, and a key. All connectors of the process that
ask one account stand in one line, see `limits.py`.
"""

from __future__ import annotations

import os
from contextlib import aclosing
from typing import TYPE_CHECKING

from llmport_magic.errors import LLMLimitError
from llmport_magic.llm.context_window import prompt_tokens
from llmport_magic.llm.cost import estimate_tokens
from llmport_magic.llm.limits import (
    Limiter,
    OwnBuckets,
    Pair,
    RateLimits,
    TooLongError,
    charge,
    seconds_each,
)
from llmport_magic.settings import origin

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, MutableMapping
    from typing import Any

    from llmport_magic.llm.clock import Clock
    from llmport_magic.llm.reply import Chunk
    from llmport_magic.llm.wire import Call, Target

# Reserved for an answer whose length nobody limits: a module of a hundred lines.
_LIKELY_ANSWER = 1_000

_limiters: dict[tuple[str, bool], Limiter] = {}
_inherited: list[object] = []


def account(target: Target) -> str:
    """Name the account that is asked; no key can be read out of it."""
    key = target.key.fingerprint() if target.key else ""
    return f"{target.provider} {origin(target.base_url)} {key}"


def limiter_for(name: str, *, shared: bool) -> Limiter:
    """Give the one line of an account; an account has another one where kernels share it."""
    found = _limiters.get((name, shared))
    if found is None:
        if shared:
            from llmport_magic.llm.shared_limits import SharedBuckets

            found = Limiter(SharedBuckets(name))
        else:
            found = Limiter(OwnBuckets())
        _limiters[name, shared] = found
    return found


def _leave_to_the_parent() -> None:
    """Begin anew in a forked child: what is open is the parent's, and closing it would harm it."""
    _inherited.append(dict(_limiters))
    _limiters.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)


class Admission:
    """One call and the limits that it keeps; each time that it is sent counts.

    Of the tokens it reserves its prompt, estimated, and the longest answer that it asks for: the
    providers, too, take `max_tokens` for the answer when they let a request in. What was not used
    is given back when the answer is there; a call that brought none is left with its prompt.

    Args:
        limits: of the account.
        target: who is asked.
        call: what is asked.
        shared: whether the kernels of this user share the limits.
    """

    def __init__(self, limits: RateLimits, target: Target, call: Call, *, shared: bool) -> None:
        self._limits = limits
        self._target = target
        self._limiter = limiter_for(account(target), shared=shared)
        self._shared = shared
        self._each = seconds_each(limits, shared=shared)
        self._prompt = prompt_tokens(call) if self._each else 0
        self._answer = call.max_tokens or min(call.output_limit or _LIKELY_ANSWER, _LIKELY_ANSWER)
        self._told: dict[str, int] = {}
        self._written: list[str] = []
        self._whole = False
        self._counted: int | None = None
        self._reserved = 0.0
        self._waited = 0.0

    async def enter(self, clock: Clock, notes: MutableMapping[str, Any]) -> None:
        """Wait until the request may be sent; the time is noted as `waited_ms`.

        Raises:
            LLMLimitError: the wait is longer than what is left of the call's time.
            ConfigError: kernels are to share the limit, and there is no place for that.
        """
        # What was sent before brought no answer.
        self._settle()
        wanted = charge(self._limits, self._prompt + self._answer, shared=self._shared)
        left = clock.left()
        failure: LLMLimitError
        try:
            await self._limiter.admit(wanted, left)
        except TooLongError as error:
            failure = self._too_long(error.waits, clock)
        else:
            self._counted = self._prompt + self._answer
            self._reserved = wanted.cost[1]
            return
        finally:
            self._waited += left - clock.left()
            notes["waited_ms"] = round(1000 * self._waited)
        raise failure

    async def whole(self, answer: Awaitable[tuple[Chunk, Any]]) -> tuple[Chunk, Any]:
        """Wait for a whole answer, and count what it took."""
        try:
            chunk, raw = await answer
            self._see(chunk)
        finally:
            self._settle()
        return chunk, raw

    async def streamed(
        self, pieces: AsyncGenerator[list[Chunk], None]
    ) -> AsyncGenerator[list[Chunk], None]:
        """Give the pieces of an answer, and count what it took, also where it is broken off."""
        try:
            async with aclosing(pieces):
                async for chunks in pieces:
                    for chunk in chunks:
                        self._see(chunk)
                    yield chunks
        finally:
            self._settle()

    def _see(self, chunk: Chunk) -> None:
        self._told.update(chunk.usage or {})
        self._whole |= bool(chunk.finish_reason)
        self._written.append(chunk.text + chunk.reasoning)
        self._written += [delta.name + delta.arguments for delta in chunk.tool_calls]

    def _settle(self) -> None:
        """Correct what was reserved by what the call took, exactly where the provider says it."""
        if self._counted is None or not self._each:
            return
        answer = self._told.get("completion_tokens", 0)
        if not (answer and self._whole):
            # In the middle of a stream a provider has told only what it had written by then.
            answer = max(answer, estimate_tokens("".join(self._written)))
        used = (self._told.get("prompt_tokens") or self._prompt) + answer
        self._limiter.settle(self._reserved, (used - self._counted) * self._each)
        self._counted, self._reserved = used, 0.0

    def _too_long(self, waits: Pair, clock: Clock) -> LLMLimitError:
        limits = self._limits
        requests = (limits.requests_per_minute, "requests", "requests_per_minute", waits[0])
        tokens = (limits.tokens_per_minute, "tokens", "tokens_per_minute", waits[1])
        known = [each for each in (requests, tokens) if each[0] is not None]
        most, what, setting, wait = max(known, key=lambda each: each[3])
        return LLMLimitError(
            f"`{self._target.provider}`: the limit of {most:g} {what} a minute (`{setting}`) makes "
            f"this call wait {wait:.1f} s, longer than the {clock.limits.total:g} s that it may "
            "take (`total_timeout`): raise one of them, or ask less often",
            provider=self._target.provider,
            model=self._target.model,
        )
