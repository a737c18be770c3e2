"""Asks models for specifications until one is valid: `generate` and `refine`.

What is asked and what is made of an answer is in `drafting.py`; here are the calls.
"""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmport_magic import bridge
from llmport_magic.errors import ConfigError, GMNOutputError, LLMOutputError, UsageError
from llmport_magic.gmn.writing.drafting import Drafting, tries_of
from llmport_magic.gmn.writing.prompting import Wish, review_messages
from llmport_magic.llm.model_size import sized
from llmport_magic.settings import Settings, for_task, resolve

if TYPE_CHECKING:
    from llmport_magic.gmn.spec import Spec
    from llmport_magic.llm.capabilities import LLMCapabilities
    from llmport_magic.llm.connector import BaseLLMConnector
    from llmport_magic.llm.messages import Image
    from llmport_magic.llm.reply import LLMResponse
    from llmport_magic.modules.prompts import Request
    from llmport_magic.modules.strategy import AttemptRecord

OnText = Callable[[str], object]
_DRAFTING = ("tries", "temperature", "seed", "max_tokens")


def generate(
    prompt: str,
    agent_type: str = "general",
    *,
    constraints: Mapping[str, int] | None = None,
    examples: Sequence[Any] | None = None,
    image: Any = None,
    connector: BaseLLMConnector | None = None,
    on_text: OnText | None = None,
    **settings: Any,
) -> Spec:
    """Have a specification of an agent written, and checked: valid, within the limits, running.

    Args:
        prompt: what the agent is to be, in a sentence.
        agent_type: `general`, `explorer`, `trader`, `coordinator`, `analyst` or `creative`.
        constraints: `max_states`, `max_actions`, `max_observations`, `max_factors`, `horizon`; the
            specification keeps them.
        examples: at most three specifications that show what is wanted: text, mapping or `Spec`.
        image: a picture of a diagram: a path, bytes, or an image of Pillow.
        connector: who is asked; `None` is whom the settings name.
        on_text: called with each piece of an answer as it arrives, on another thread.
        **settings: any setting, for example `provider` or `model`; `tries` (default 3, and 5 for
            small models) is how many answers may be asked for. With a `connector` of your own
            only `tries`, `temperature`, `seed`, `max_tokens` and the options of its calls.

    Returns:
        The specification; `notes` are the warnings, everything that was mended among them.

    Raises:
        GMNOutputError: no answer was a valid specification; it has the findings.
        GMNError: an example is not valid.
        ValueError: an unknown agent type or constraint, or no prompt.
        LLMError: the model did not deliver.
    """
    wish = Wish.of(
        prompt,
        agent_type,
        constraints=constraints,
        examples=examples,
        images=pictures(image),
    )
    return bridge.run(_with_settings(wish, connector, on_text, settings))


def refine(
    spec: Any,
    feedback: str,
    *,
    constraints: Mapping[str, int] | None = None,
    image: Any = None,
    connector: BaseLLMConnector | None = None,
    on_text: OnText | None = None,
    **settings: Any,
) -> Spec:
    """Have a specification changed as somebody says; arguments and errors as for `generate()`.

    The given specification stays as it is. `old.diff(new)` shows what changed; a warning says
    where nothing did.

    Args:
        spec: the specification: text, a mapping or a `Spec`.
        feedback: what should change.
        constraints: see there.
        image: see there.
        connector: see there.
        on_text: see there.
        **settings: see there.

    Raises:
        GMNError: `spec` is not valid.
    """
    wish = refinement(spec, feedback, constraints=constraints, image=image)
    return bridge.run(_with_settings(wish, connector, on_text, settings))


def refinement(
    spec: Any, feedback: str, *, constraints: Mapping[str, int] | None = None, image: Any = None
) -> Wish:
    """Give the wish that a specification be changed; errors as for `refine()`."""
    from llmport_magic.gmn.validation import parse

    current = parse(spec)
    return Wish.of(
        feedback,
        current.agent_type,
        constraints=constraints,
        current=current,
        images=pictures(image),
    )


async def _with_settings(
    wish: Wish, connector: BaseLLMConnector | None, on_text: OnText | None, given: dict[str, Any]
) -> Spec:
    if connector is not None:
        return await drafted(connector, wish, on_text=on_text, **given)
    settings = resolve(**given)
    if settings.mode == "frozen":
        raise ConfigError(
            f"`mode = frozen` (set by {settings.source('mode')}): no model is asked; set `live`"
        )
    found = await bridge.in_thread(connector_of, settings)
    return await drafted(found, wish, settings=settings, on_text=on_text)


def connector_of(settings: Settings) -> BaseLLMConnector:
    """Give who is asked for specifications: one provider, or those of `fallback` in turn.

    Raises:
        ConfigError: nobody can be asked.
    """
    settings = for_task(settings, "gmn")
    if settings.fallback:
        from llmport_magic.llm.routing.health import shared_book
        from llmport_magic.llm.routing.router import LLMProviderFactory

        return LLMProviderFactory(settings, health=shared_book())
    from llmport_magic.llm.registry import connector_for

    return connector_for(settings)


async def drafted(
    connector: BaseLLMConnector,
    wish: Wish,
    *,
    settings: Settings | None = None,
    on_text: OnText | None = None,
    **options: Any,
) -> Spec:
    """Ask a connector until an answer is a valid specification.

    Args:
        connector: who is asked.
        wish: what for.
        settings: of the user, where they count.
        on_text: called with each piece of an answer as it arrives; it may be a coroutine function.
        **options: of the drafting (`tries`, `temperature`, `seed`, `max_tokens`), and of the calls.

    Raises:
        GMNOutputError: no answer was a valid specification.
        UsageError: there is a picture, and the model takes none.
        LLMError: the model did not deliver.
    """
    able = sized(connector.capabilities, options.get("model") or connector.model_name_for_api)
    if wish.images:
        refuse_unseeing(connector, able.vision)
    own = {name: options.pop(name) for name in _DRAFTING if name in options}
    if settings is not None:
        own = {name: getattr(settings, name) for name in _DRAFTING}
        own["tries"] = tries_of(settings, able)
    # What somebody set for a provider stays, each one's own where several are asked.
    as_set = own.get("temperature") is None and connector.own_temperature is not None
    drafting = Drafting(wish, able, **own)
    spending = None if settings is None else Spending(replace(settings, tries=own["tries"]), able)

    async def ask(request: Request) -> LLMResponse:
        if as_set and able.size != "small":
            request.options.pop("temperature", None)
        return await _answer(connector, request, on_text, options)

    spec = await _until_valid(drafting, ask, spending)
    if spec == wish.current:
        warnings.warn(
            "the model gave the specification back as it was: say more exactly what should change",
            UserWarning,
            stacklevel=2,
        )
    return spec


async def _until_valid(
    drafting: Drafting,
    ask: Callable[[Request], Awaitable[LLMResponse]],
    spending: Spending | None,
) -> Spec:
    response: LLMResponse | None = None
    try:
        while drafting.spec is None:
            request = drafting.next_request()
            if spending is not None:
                spending.allow(drafting, request)
            begun = time.monotonic()
            response = await ask(request)
            # An agent is made and run: not on the loop of all input and output.
            await bridge.in_thread(drafting.take, response.content, response.finish_reason)
            if drafting.spec is None:
                _forget(response)
            if spending is not None:
                spending.took(drafting, response, time.monotonic() - begun)
    except LLMOutputError as error:
        if response is not None and error.provider is None:
            error.provider, error.model = response.provider, response.model
        raise
    return drafting.spec


async def _answer(
    connector: BaseLLMConnector, request: Any, on_text: OnText | None, options: Mapping[str, Any]
) -> LLMResponse:
    given = {**request.options, **options}
    if on_text is None:
        return await connector.complete(request.messages, **given)
    stream = connector.stream(request.messages, **given)
    if request.opening:
        await _tell(on_text, request.opening)
    async for piece in stream:
        await _tell(on_text, piece)
    return stream.response


async def _tell(on_text: OnText, piece: str) -> None:
    told = on_text(piece)
    if inspect.isawaitable(told):
        await told


def _forget(response: LLMResponse) -> None:
    """Let an answer that failed be asked for anew: kept, it would fail again in the same way."""
    if response.metadata.get("cache_key"):
        from llmport_magic.llm.cache import forget

        forget(response)


class Spending:
    """What the tries of one wish took of the user's budget.

    Args:
        settings: the budget: `tries`, `budget_tokens`, `budget_seconds`, `budget_dollars`.
        capabilities: of the model that is asked.
    """

    def __init__(self, settings: Settings, capabilities: LLMCapabilities) -> None:
        self._settings = settings
        self._able = capabilities
        self._history: list[AttemptRecord] = []

    def allow(self, drafting: Drafting, request: Request) -> None:
        """Refuse a request that the budget does not allow.

        Raises:
            ConfigError: the first one alone may be more than the budget.
            GMNOutputError: nothing was valid, and the budget is spent.
        """
        from llmport_magic.llm.cost import estimate_tokens
        from llmport_magic.modules.budget import ended, expected_cost, refuse_over_budget

        tokens = sum(estimate_tokens(message.content) for message in request.messages)
        cost = expected_cost(self._history, tokens, self._able)
        if not self._history:
            longest = request.options.get("max_tokens")
            refuse_over_budget(longest, self._settings, None if self._settings.cache else cost)
        end = ended(self._history, self._settings, self._able, cost)
        if end is not None:
            failed = drafting.failure()
            raise GMNOutputError(
                f"{failed}; {end.text}", findings=failed.findings, text=failed.text
            )

    def took(self, drafting: Drafting, response: LLMResponse, seconds: float) -> None:
        """Count an answer that arrived."""
        from llmport_magic.modules.strategy import AttemptPlan, AttemptRecord

        free = response.metadata.get("cached")
        self._history.append(
            AttemptRecord(
                AttemptPlan(),
                drafting.taken[-1].text,
                drafting.findings,
                0 if free else response.usage["completion_tokens"],
                seconds,
                0.0 if free else response.cost.dollars,
            )
        )


async def reviewed(connector: BaseLLMConnector, spec: Spec, **options: Any) -> list[str]:
    """Have a model say what is doubtful in a valid specification, a line each; often nothing."""
    response = await connector.complete(review_messages(spec), **options)
    lines = [line.strip() for line in response.content.splitlines()]
    return [line.lstrip("-* ") for line in lines if line.startswith(("-", "*"))]


def refuse_unseeing(connector: BaseLLMConnector, vision: bool) -> None:
    """Refuse to send a picture to a model that takes none.

    Raises:
        UsageError: it takes none, as far as is known.
    """
    if vision:
        return
    name = connector.model_name_for_api or "the model"
    raise UsageError(
        f"nothing was sent: `{name}` of `{connector.provider_name}` takes no pictures as far as is "
        "known: name a `model` that does, or register it with `vision=True`"
    )


def pictures(image: Any) -> tuple[Image, ...]:
    """Give what can be sent of a picture, or of several; errors as of `llm/pictures.py`."""
    if image is None:
        return ()
    from llmport_magic.llm.pictures import picture

    several = image if isinstance(image, (list, tuple)) else (image,)
    return tuple(map(picture, several))
