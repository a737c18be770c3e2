"""The one connector over HTTP: any provider whose wire format is a dialect."""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, Mapping, MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmport_magic import bridge
from llmport_magic.errors import LLMError, MissingKeyError, UsageError
from llmport_magic.llm.config import LLMConfig
from llmport_magic.llm.connector import BaseLLMConnector, Messages, as_prompt
from llmport_magic.llm.context_window import fitted
from llmport_magic.llm.credentials import Key, missing_key
from llmport_magic.llm.gathering import Gathering
from llmport_magic.llm.messages import Message, as_messages
from llmport_magic.llm.retirement import warn_of_retirement
from llmport_magic.llm.retry import RetryBudget
from llmport_magic.llm.streams import ResponseStream
from llmport_magic.llm.tools import as_tools, legal_names, renamed, with_tool_names
from llmport_magic.llm.wire import Call, Limits, Network, Target
from llmport_magic.secrets import Secret, find_key, key_variables, redact_address
from llmport_magic.settings import administration, resolve, times_changed
from llmport_magic.settings.values import checked

if TYPE_CHECKING:
    from llmport_magic.llm.admission import Admission
    from llmport_magic.llm.cache import Keeping
    from llmport_magic.llm.capabilities import LLMCapabilities
    from llmport_magic.llm.exchange import Ask
    from llmport_magic.llm.project_config import ProjectConfig
    from llmport_magic.llm.reply import Chunk, LLMResponse
    from llmport_magic.llm.transport import Transport

__all__ = ["OPTIONS", "LLMConfig", "LLMProvider", "check_options", "missing_key"]

OPTIONS = (
    "model",
    "max_tokens",
    "temperature",
    "stop",
    "seed",
    "top_p",
    "extra",
    "prefill",
    "tools",
    "tool_choice",
    "json_mode",
    "json_schema",
    "options",
    "timeout_ms",
    "cache",
)
# What a call says as a setting does is held to the same.
_SETTINGS = ("model", "max_tokens", "temperature")

# Parameters that a model has refused, by base URL and model: learnt once in a session.
_REFUSED: dict[tuple[str, str], set[str]] = {}


class LLMProvider(BaseLLMConnector):
    """Asks a model over HTTP, on the connections that all providers share.

    `LLMProvider(config)` and `LLMProvider(ctx, config)` are the same; `ctx` is kept as `.ctx`.

    Args:
        ctx: anything, or the configuration itself.
        config: how the model is asked.
        transport: takes the place of the shared connections, for tests.
    """

    # Its dialects say it, each as its format has it.
    asks_for_json = True

    def __init__(
        self,
        ctx: Any,
        config: LLMConfig | None = None,
        *,
        transport: Transport | None = None,
    ) -> None:
        if config is None:
            ctx, config = None, ctx
        if not isinstance(config, LLMConfig):
            raise UsageError("give an `LLMConfig`, as in LLMProvider(LLMConfig(base_url, model))")
        self.ctx = ctx
        self.config = config
        self.provider_name = config.provider
        self.capabilities = config.capabilities or _known_capabilities(config)
        self._transport = transport
        self._network: tuple[int, Network] | None = None
        self._budget = RetryBudget(config.retry_budget)
        self._kept: Keeping | None = None
        self.model_name_for_api = config.model

    def __repr__(self) -> str:
        model = redact_address(self.model_name_for_api)
        return f"LLMProvider({self.provider_name!r}, model={model!r})"

    @classmethod
    def from_name(cls, ctx: Any, name: str | None = None, **settings: Any) -> BaseLLMConnector:
        """Make a connector for a provider of the catalogue, by its name.

        Args:
            ctx: anything, kept as `.ctx`; or the name itself.
            name: the provider's name.
            **settings: as for `configure()`, for this connector only.

        Raises:
            ConfigError: there is no provider of that name.
        """
        from llmport_magic.llm.registry import named_connector

        if name is None:
            ctx, name = None, ctx
        return named_connector(str(name), ctx=ctx, **settings)

    @classmethod
    def from_config(
        cls, ctx: Any, name: Any, config: ProjectConfig | Mapping[str, Any] | None = None
    ) -> BaseLLMConnector:
        """Make a connector of a section of a project's file.

        The section stands over the catalogue's row of that name. Without one the row alone is
        taken, with a warning.

        Args:
            ctx: anything, kept as `.ctx`; it may be left out.
            name: of the section, for example `deepseek` for `[llm.deepseek]`.
            config: what `load_project_config()` gives, or a mapping `{"llm": {name: fields}}`.

        Raises:
            ConfigError: there is neither a section nor a provider of that name, or a field is
                unknown, has a bad value or names a variable that is not set.
        """
        from llmport_magic.llm.project_config import connector_from

        if config is None:
            ctx, name, config = None, ctx, name
        return connector_from(ctx, str(name), config)

    async def complete(self, messages: Messages, **options: Any) -> LLMResponse:
        """Ask, and get the whole answer; see `BaseLLMConnector.complete`.

        `cache=True` gives a kept answer where there is one, `cache=False` neither gives nor keeps.
        """
        call = self._call(as_messages(messages), options, stream=False)
        keeping = self._keeping(options)
        notes: dict[str, Any] = {}
        if keeping is not None and (kept := keeping.remembered(call, notes)) is not None:
            return self._answered(self._gathered(call, notes), kept)
        return await bridge.in_bridge(self._complete(call, self._limits(options), keeping))

    async def _complete(self, call: Call, limits: Limits, keeping: Keeping | None) -> LLMResponse:
        from llmport_magic.llm.exchange import whole

        ask = await self.prepare(call, limits)
        gathering = self._gathered(ask.call, ask.notes)
        chunk, raw = await (whole(ask) if keeping is None else keeping.whole(ask))
        return self._answered(gathering, chunk, raw)

    def _answered(self, gathering: Gathering, chunk: Chunk, raw: Any = None) -> LLMResponse:
        gathering.add(chunk)
        response = gathering.response(raw)
        self.totals.add(response)
        return response

    def stream(self, messages: Messages, **options: Any) -> ResponseStream:
        """Ask, and get the answer as it arrives; nothing is sent before the first piece is read."""
        call = self._call(as_messages(messages), options, stream=True)
        limits, keeping = self._limits(options), self._keeping(options)
        notes: dict[str, Any] = {}

        async def source() -> AsyncGenerator[Chunk | list[Chunk], None]:
            from llmport_magic.llm.exchange import streamed

            ask = await self.prepare(call, limits)
            ask.notes = notes
            chunks = streamed(ask) if keeping is None else keeping.streamed(ask)
            try:
                async for chunk in chunks:
                    yield chunk
            finally:
                await chunks.aclose()

        gathering = self._gathered(call, notes)
        return ResponseStream(source, gathering, self.totals.add)

    async def models(self) -> tuple[str, ...]:
        """Ask the server which models it has."""
        return await bridge.in_bridge(self._models())

    async def _models(self) -> tuple[str, ...]:
        from llmport_magic.llm import exchange
        from llmport_magic.llm.served import remember

        ask = self._asked(Call(model="", messages=()), self.config.limits, await self._found())
        listed = await exchange.models(ask)
        remember(self.provider_name, self.config.base_url, listed)
        return listed

    @property
    def own_temperature(self) -> float | None:  # type: ignore[override] # of its configuration
        """The temperature that somebody set for it; `None` where it is the usual one."""
        usual = LLMConfig.__dataclass_fields__["temperature"].default
        return None if self.config.temperature == usual else self.config.temperature

    async def aclose(self) -> None:
        """Close the connections, where this connector has some of its own."""
        if self._transport is not None:
            await bridge.in_bridge(self._transport.aclose())

    def _gathered(self, call: Call, notes: MutableMapping[str, Any]) -> Gathering:
        prices = self.config.capabilities if call.model == self.config.model else None
        prompt = as_prompt(call.messages)
        return Gathering(
            self.provider_name, call.model, prompt, notes, call.tool_names, prices=prices
        )

    def _call(self, given: tuple[Message, ...], options: dict[str, Any], *, stream: bool) -> Call:
        options = check_options(options)
        if options.get("prefill") and not self.capabilities.prefill:
            raise UsageError(f"`{self.provider_name}` cannot be given the start of the answer")
        config = self.config
        stop = options.get("stop") or ()
        tools = as_tools(options.get("tools") or ())
        asked = (call.name for message in given for call in message.tool_calls)
        names = legal_names((*(tool.name for tool in tools), *asked))
        choice = options.get("tool_choice") or ""
        schema = options.get("json_schema")
        model = options.get("model") or self.model_name_for_api
        warn_of_retirement(self.provider_name, model)
        call = Call(
            model=model,
            messages=with_tool_names(given, names),
            stream=stream,
            max_tokens=self._longest(options.get("max_tokens", config.max_tokens)),
            output_limit=self.capabilities.max_output_tokens,
            temperature=options.get("temperature", config.temperature),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            seed=options.get("seed", config.seed),
            top_p=options.get("top_p"),
            prefill=options.get("prefill"),
            tools=renamed(tools, names),
            tool_choice=names.get(choice, choice),
            tool_names={legal: name for name, legal in names.items()},
            json_mode=bool(options.get("json_mode") or schema),
            json_schema=schema,
            options={**config.options, **(options.get("options") or {})},
            extra={**config.extra, **(options.get("extra") or {})},
        )
        return fitted(call, self._capabilities_of(model), self.provider_name)

    def _capabilities_of(self, model: str) -> LLMCapabilities:
        if model == self.config.model:
            return self.capabilities
        return _known_capabilities(replace(self.config, model=model))

    def _keeping(self, options: Mapping[str, Any]) -> Keeping | None:
        """Give what stands between a call and the provider where answers are kept."""
        wanted = options.get("cache")
        if not (self.config.cache if wanted is None else wanted):
            return None
        if self._kept is None:
            from llmport_magic.llm.cache import Keeping

            self._kept = Keeping(self.config)
        return self._kept

    def _limits(self, options: Mapping[str, Any]) -> Limits:
        milliseconds = options.get("timeout_ms")
        limits = self.config.limits
        return limits if milliseconds is None else replace(limits, total=milliseconds / 1000)

    def _longest(self, wanted: int | None) -> int | None:
        most = self.capabilities.max_output_tokens
        return wanted if wanted is None or most is None else min(wanted, most)

    async def prepare(self, call: Call, limits: Limits) -> Ask:
        """Give all that one exchange takes: the call, its deadlines, and the key found for it."""
        if not call.model:
            call = replace(call, model=await self._discover())
        return self._asked(call, limits, await self._found())

    def _asked(self, call: Call, limits: Limits, found: Key | None = None) -> Ask:
        from llmport_magic.llm.dialects import dialect_named
        from llmport_magic.llm.exchange import Ask
        from llmport_magic.llm.transport import shared_transport

        config = self.config
        # The only way to a provider over HTTP, also for a configuration that was made by hand.
        administration().check(config.provider, config.base_url)
        known = self.capabilities.refuses if call.model == config.model else ()
        refused = _REFUSED.setdefault((config.base_url, call.model), set())
        refused.update(known)
        key = found or self._key()
        target = Target(
            provider=config.provider,
            model=call.model,
            base_url=config.base_url,
            key=key.secret,
            key_vars=(key.source,) if key.source else config.api_key_vars,
            headers=config.headers,
            reasoning=self.capabilities.reasoning,
            network=config.network or self._configured_network(),
            hint=config.hint,
        )
        return Ask(
            target=target,
            dialect=dialect_named(config.dialect),
            call=call,
            limits=limits,
            policy=config.retry,
            budget=self._budget,
            transport=self._transport or shared_transport(),
            refused=refused,
            renew=self._renewed if config.keys and not config.api_key else None,
            admission=self._admission(target, call),
        )

    def _admission(self, target: Target, call: Call) -> Admission | None:
        limits = self.config.rate_limits
        if limits is None or not limits.limited:
            return None
        from llmport_magic.llm.admission import Admission

        return Admission(limits, target, call, shared=self.config.shared_limits)

    def _configured_network(self) -> Network:
        """Give what the settings say; they are looked up again after each `configure()`."""
        if self._network is None or self._network[0] != times_changed():
            self._network = (times_changed(), Network.of(resolve()))
        return self._network[1]

    def _key(self, *, again: bool = False) -> Key:
        config, name = self.config, self.provider_name
        if config.api_key is not None:
            key = config.api_key
            return Key(Secret(key) if isinstance(key, str) else key)
        if config.keys is not None:
            found = config.keys.find(again=again)
        else:
            variables = () if config.key_withheld else key_variables(name, config.api_key_vars)
            secret, named = find_key(variables), config.api_key_vars
            found = Key(secret, variables=named, withheld=config.key_withheld)
        if found.secret is None and config.key_required:
            raise MissingKeyError(missing_key(name, found), provider=name)
        return found

    async def _found(self) -> Key | None:
        """Look the key up where that takes time: the loop does not wait for a disk or a manager."""
        config = self.config
        if config.api_key is not None or config.keys is None or not config.keys.waits:
            return None
        return await bridge.in_thread(self._key)

    async def _renewed(self) -> Secret | None:
        return (await bridge.in_thread(lambda: self._key(again=True))).secret

    async def _discover(self) -> str:
        """Ask the server what it serves, and take the first."""
        if not self.model_name_for_api:
            served = await self._models()
            if not served:
                raise LLMError(
                    f"`{self.provider_name}` serves no model: load one there, or name one with "
                    "`-m`",
                    provider=self.provider_name,
                )
            self.model_name_for_api = served[0]
        return self.model_name_for_api


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give the options of a call, those that are settings too as those have them.

    Raises:
        UsageError: for the first that is none; what only the provider knows belongs into `extra`.
        ConfigError: a value that the setting of that name does not take.
    """
    for name in options:
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, n=1)
            hint = f"did you mean `{near[0]}`?" if near else "put it into `extra`"
            raise UsageError(f"unknown option `{name}`: {hint}")
    given = {name: options[name] for name in _SETTINGS if options.get(name) is not None}
    return {**options, **{name: checked(name, one, "the call") for name, one in given.items()}}


def _known_capabilities(config: LLMConfig) -> LLMCapabilities:
    from llmport_magic.llm.registry import capabilities_of

    return capabilities_of(config.provider, config.model)
