"""A small agent: a model, its tools, and a human's word before any of them acts.

It is a loop of calls and nothing more: no memory, no planning, no events, and not Loom's module of
the same name. The model answers or asks for tools; what was approved is called; the results go
back; until the model answers in words or the turns are used up.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Collection, Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from llmport_magic import bridge
from llmport_magic.errors import UsageError
from llmport_magic.llm.connector import Messages
from llmport_magic.llm.messages import LLMRole, Message, ToolCall, as_messages
from llmport_magic.llm.reply import LLMResponse
from llmport_magic.llm.tool_schema import problem
from llmport_magic.llm.tools import Tool, ToolBox, ToolFailure, ToolLike, as_tools, unknown_tool
from llmport_magic.secrets import redact

Verdict: TypeAlias = "bool | ToolCall"
Approve: TypeAlias = "Callable[[ToolCall], Verdict | Awaitable[Verdict]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class CognitiveConfig:
    """How an agent works.

    No tool acts without a word of yours. A call of a tool in `approved` acts at once; for any
    other `approve` is asked; without `approve` the run ends there, and nothing has acted.

    Args:
        system_prompt: stands before the goal; empty sends none.
        max_iterations: how often the model is asked at most.
        approve: is given each call before it acts and returns `True`, `False` (the model is told)
            or the call with other arguments, `dataclasses.replace(call, arguments={...})`. It may
            be async; a synchronous one runs in a thread of its own. `ask_user` is one.
        approved: names of tools that act without being asked about.

    Raises:
        UsageError: `max_iterations` is below 1, or `approved` is one text.
    """

    system_prompt: str = ""
    max_iterations: int = 10
    approve: Approve | None = None
    approved: Collection[str] = frozenset()

    def __post_init__(self) -> None:
        if self.max_iterations < 1:
            raise UsageError(f"`max_iterations` must be at least 1, not {self.max_iterations}")
        if isinstance(self.approved, str):
            # `"search" in "research"` is true.
            raise UsageError('`approved` is a set of names, as in approved={"web:search"}')


@dataclass(frozen=True, slots=True, kw_only=True)
class CognitiveStep:
    """One call that the model asked for.

    Attributes:
        call: as it was made, with the arguments that were approved.
        turn: which answer of the model asked for it, from 1.
        approved: whether it was allowed to act.
        result: what the tool returned, or `None`.
        error: why it did not act, or what went wrong in it, or `None`.
        usage: the tokens of that answer; the calls of one turn share it.
    """

    call: ToolCall
    turn: int
    approved: bool = False
    result: Any = None
    error: str | None = None
    usage: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CognitiveResult:
    """How a run ended.

    Attributes:
        answer: the text of the model's last answer; may be empty unless `stop` is `done`.
        steps: every call that the model asked for, in order.
        usage: the tokens of all answers together; one kept from an earlier call took none.
        stop: `done`; `max_iterations`; `refused` where a call needs approval and nobody can be
            asked; or the finish reason of an answer that did not end by itself, as `length`.
        reason: one line that says what to do, unless `stop` is `done`.
        messages: the whole conversation, the last answer included.
    """

    answer: str
    steps: tuple[CognitiveStep, ...] = ()
    usage: dict[str, int] = field(default_factory=dict)
    stop: str = "done"
    reason: str = ""
    messages: tuple[Message, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return self.answer if self.stop == "done" else f"{self.answer}\n[{self.reason}]".lstrip()


class CognitiveAgent:
    """A model that may use tools, each of which acts only when it was approved.

    Args:
        ctx: has the tools: an async `.tool(name, payload=...)`, and `.tools` unless they are given
            below. `ToolBox` is one; `None` where `tools` are functions, or there are none.
        llm: an `LLMProvider`, or anything with an async `call(messages, **options)` that returns
            an `LLMResponse`.
        config: how it works, and who approves.
        tools: what the model may ask for.

    Raises:
        UsageError: `llm` cannot be called, or nothing can act for the tools.
    """

    def __init__(
        self,
        ctx: Any = None,
        llm: Any = None,
        config: CognitiveConfig | None = None,
        *,
        tools: Iterable[ToolLike] | None = None,
    ) -> None:
        if not callable(getattr(llm, "call", None)):
            raise UsageError("give `llm` something with an async `call(messages, **options)`")
        known = as_tools(getattr(ctx, "tools", ()) if tools is None else tools)
        if ctx is None and known:
            ctx = ToolBox(known)
        if known and not callable(getattr(ctx, "tool", None)):
            raise UsageError("give `ctx` something with an async `tool(name, payload=...)`")
        self.ctx = ctx
        self.llm = llm
        self.config = config or CognitiveConfig()
        self._tools = {tool.name: tool for tool in known}

    async def run(self, goal: Messages) -> CognitiveResult:
        """Work on a goal until the model answers in words; cancelling cancels the tools, too.

        In synchronous code: `llmport_magic.run(agent.run("..."))`.

        Args:
            goal: a text, or a conversation, to go on from an answer:
                `[*result.messages, "And in Paris?"]`.

        Raises:
            LLMError: the model did not deliver.
            UsageError: `approve` returned something else than it may, or `llm` did.
        """
        return await _Run(self, self.config, self._tools).go(goal)


class _Run:
    """One goal, from the first question to the last answer."""

    def __init__(
        self, agent: CognitiveAgent, config: CognitiveConfig, tools: dict[str, Tool]
    ) -> None:
        self._agent = agent
        self._config = config
        self._tools = tools
        self._messages: list[Message] = []
        self._steps: list[CognitiveStep] = []
        self._usage: dict[str, int] = {}

    async def go(self, goal: Messages) -> CognitiveResult:
        self._messages.extend(as_messages(goal))
        begun = any(message.role == LLMRole.SYSTEM for message in self._messages)
        if self._config.system_prompt and not begun:
            self._messages.insert(0, Message(LLMRole.SYSTEM, self._config.system_prompt))
        turn = 0
        while True:
            turn += 1
            response = await self._ask(turn)
            steps = [
                CognitiveStep(call=call, turn=turn, usage=response.usage)
                for call in response.tool_calls
            ]
            if response.finish_reason not in ("stop", "tool_calls"):
                # Arguments that were cut off may still be valid JSON: nothing acts on them.
                why = f"the answer ended with `{response.finish_reason}`"
                return self._ended(response, steps, response.finish_reason, why)
            if not steps:
                return self._ended(response, [], "done", "")
            if turn == self._config.max_iterations:
                why = f"no answer within {turn} turns: raise `max_iterations`"
                return self._ended(response, steps, "max_iterations", why)
            judged = [await self._judged(step) for step in steps]
            if not self._config.approve and (open_ := [s.call.name for s in judged if _open(s)]):
                why = (
                    f"`{open_[0]}` needs approval: give CognitiveConfig(approve=...), or "
                    f"approved={{{open_[0]!r}}}"
                )
                return self._ended(response, judged, "refused", why)
            acted = await asyncio.gather(*map(self._acted, judged))
            self._steps.extend(acted)
            self._messages.extend(map(_result_message, steps, acted))

    async def _ask(self, turn: int) -> LLMResponse:
        options = {"tools": tuple(self._tools.values())} if self._tools else {}
        response = await self._agent.llm.call(list(self._messages), **options)
        if not isinstance(response, LLMResponse):
            raise UsageError(
                f"`llm.call` must return an `LLMResponse`, not {type(response).__name__}"
            )
        calls = tuple(
            call if call.id else replace(call, id=f"call_{turn}_{index}")
            for index, call in enumerate(response.tool_calls)
        )
        response = replace(response, tool_calls=calls)
        taken = {} if response.metadata.get("cached") else response.usage
        for name, count in taken.items():
            self._usage[name] = self._usage.get(name, 0) + count
        self._messages.append(response.message)
        return response

    async def _judged(self, step: CognitiveStep) -> CognitiveStep:
        """Say of a call whether it may act; one that cannot has an error instead."""
        call = step.call
        wrong = self._wrong(call)
        if wrong is not None:
            return replace(step, error=ToolFailure.because(wrong))
        if call.name in self._config.approved:
            return replace(step, approved=True)
        if self._config.approve is None:
            return step
        # A copy, so that what is approved is what acts, also where `approve` changes it in place.
        shown = replace(call, arguments=deepcopy(dict(call.arguments)))
        verdict = await _verdict(self._config.approve, shown)
        if verdict is False:
            return replace(step, error=ToolFailure.because("the user did not allow this call"))
        allowed = shown if verdict is True else verdict
        if not isinstance(allowed, ToolCall) or allowed.name != call.name:
            raise UsageError(
                f"`approve` returned {verdict!r:.60} for `{call.name}`: return True, False, or the "
                "call with other arguments"
            )
        wrong = self._wrong(allowed)
        if wrong is not None:
            raise UsageError(f"`approve` gave arguments that cannot be used: {wrong}")
        return replace(step, call=replace(call, arguments=allowed.arguments), approved=True)

    def _wrong(self, call: ToolCall) -> str | None:
        if call.name not in self._tools:
            return unknown_tool(call.name, self._tools)
        if call.error is not None:
            return call.error
        found = problem(call.arguments, self._tools[call.name].parameters)
        return found and f"the arguments of `{call.name}` do not fit: {found}"

    async def _acted(self, step: CognitiveStep) -> CognitiveStep:
        if not step.approved:
            return step
        call = step.call
        try:
            result = await self._agent.ctx.tool(call.name, payload=deepcopy(dict(call.arguments)))
        except Exception as error:  # noqa: BLE001 - the model is told, whatever it is
            result = ToolFailure.because(f"`{call.name}` raised {type(error).__name__}: {error}")
        if isinstance(result, ToolFailure):
            return replace(step, error=result)
        return replace(step, result=result)

    def _ended(
        self, response: LLMResponse, steps: list[CognitiveStep], stop: str, reason: str
    ) -> CognitiveResult:
        self._steps.extend(
            step if step.error else replace(step, approved=False, error=f"not called: {reason}")
            for step in steps
        )
        return CognitiveResult(
            answer=response.content,
            steps=tuple(self._steps),
            usage=self._usage,
            stop=stop,
            reason=reason,
            messages=tuple(self._messages),
        )


def _open(step: CognitiveStep) -> bool:
    return not step.approved and step.error is None


async def _verdict(approve: Approve, call: ToolCall) -> Any:
    if inspect.iscoroutinefunction(approve):
        return await approve(call)
    verdict = await bridge.in_thread(approve, call)
    return await verdict if inspect.isawaitable(verdict) else verdict


def _result_message(asked: CognitiveStep, acted: CognitiveStep) -> Message:
    if acted.error is not None:
        return Message.tool_result(asked.call, acted.error)
    message = Message.tool_result(asked.call, acted.result)
    if acted.call.arguments != asked.call.arguments:
        # Else the model takes the result for that of the arguments it gave.
        note = f"[the user changed the arguments to {_shown(acted.call)}]\n"
        message = replace(message, content=note + message.content)
    return message


def _shown(call: ToolCall) -> str:
    return json.dumps(dict(call.arguments), default=str)


def ask_user(call: ToolCall) -> bool:
    """Ask on the keyboard whether a call may act; only `y` and `yes` allow it.

    Control characters in the arguments are shown escaped, so that they cannot draw over the
    question.
    """
    question = f"Call {json.dumps(call.name)} with {_shown(call)}? [y/N] "
    return input(redact(question)).strip().lower() in ("y", "yes")
