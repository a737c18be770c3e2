"""Asks several providers one after the other until one answers, and says which one it was."""

from __future__ import annotations

import asyncio
import contextvars
import warnings
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmport_magic import bridge
from llmport_magic.errors import ConfigError, UsageError
from llmport_magic.llm.capabilities import LLMCapabilities, ProviderType
from llmport_magic.llm.connector import BaseLLMConnector, Messages
from llmport_magic.llm.messages import Message, as_messages
from llmport_magic.llm.reply import Chunk, LLMResponse
from llmport_magic.llm.routing.chain import Candidate, Chain, ConfiguredChain, GivenChain
from llmport_magic.llm.routing.config import sections_of, translated
from llmport_magic.llm.routing.failover import OnAsk, Record
from llmport_magic.llm.routing.health import HealthBook, Patience
from llmport_magic.llm.routing.probing import look
from llmport_magic.llm.routing.route import Relayed, Route, Wish
from llmport_magic.llm.streams import ResponseStream
from llmport_magic.settings import Settings, resolve

if TYPE_CHECKING:
    from llmport_magic.llm.registry import LLMRegistry

_PROBE_SECONDS = 5.0


class LLMFailoverWarning(UserWarning):
    """Another provider answers than the one that was asked first."""


class LLMProviderFactory(BaseLLMConnector, watched=False):
    """A connector that asks a chain of providers: the next one where one fails.

    Nothing is looked up in the network before the first call. A provider that failed several times
    in a row is passed over for a while (`unhealthy_after`, `cool_down`). The response's
    `metadata["attempts"]` names everybody who was asked, with what came of it, and a warning says
    who answered instead.

    Args:
        config: settings as a mapping; the tables `openai`, `anthropic` and so on are for one
            provider each, and `provider` names the first. Or the path of a file with settings, or
            resolved settings.
        registry: of the providers; `None` is the one that the package uses.
        connectors: asked in this order, instead of what the settings and the keys allow.
        health: the records of the providers; `None` makes new ones.
        **settings: any setting, as for `configure()`; the strongest.

    Raises:
        ConfigError: a provider or a value is not known.
        UsageError: `connectors` holds none.
    """

    provider_name = "router"

    def __init__(
        self,
        config: Mapping[str, Any] | Settings | str | None = None,
        *,
        registry: LLMRegistry | None = None,
        connectors: Iterable[BaseLLMConnector] | None = None,
        health: HealthBook | None = None,
        **settings: Any,
    ) -> None:
        from llmport_magic.llm.registry import default_registry

        self._registry = default_registry() if registry is None else registry
        self._book = HealthBook() if health is None else health
        self._told: set[tuple[str, int | None, str]] = set()
        resolving, listed = self._resolving(config, settings)
        self._chain: Chain = (
            ConfiguredChain(resolving, self._registry, listed)
            if connectors is None
            else GivenChain(connectors, resolving)
        )

    def _resolving(
        self, config: Mapping[str, Any] | Settings | str | None, given: dict[str, Any]
    ) -> tuple[Callable[[], Settings], tuple[str, ...]]:
        """Give what looks the settings up, and the providers that the user has tables for."""
        if isinstance(config, Settings):
            fixed = config
            return (lambda: fixed), ()
        if isinstance(config, Mapping):
            names = [row.name for row in self._registry.providers(installed=False)]
            table = translated(config, names)
            return (lambda: resolve(config=table, **given)), sections_of(table)
        return (lambda: resolve(config=config, **given)), ()

    def __repr__(self) -> str:
        if not hasattr(self, "_chain"):
            # A traceback with locals shows it while it is made.
            return "LLMProviderFactory()"
        # A local server that was not looked for may not be there.
        names = (f"{c.name}{'' if c.certain else '?'}" for c in self._chain.candidates())
        chain = " -> ".join(names)
        return f"LLMProviderFactory({chain or 'nobody'})"

    # Who is asked

    @property
    def primary(self) -> str | None:
        """The provider that is asked first; `None` where nobody can be asked."""
        return next(iter(self._here()), None)

    @property
    def fallback_chain(self) -> tuple[str, ...]:
        """The providers that are asked after it, in this order."""
        return self._here()[1:]

    def _here(self) -> tuple[str, ...]:
        candidates = self._chain.candidates()
        return tuple(c.name for c in candidates if c.certain or self._chain.is_here(c.name))

    @property
    def model_name_for_api(self) -> str:
        """The model that is asked first when a call names none; empty where that is not known."""
        return self._first.model_name_for_api if self._first else ""

    @model_name_for_api.setter
    def model_name_for_api(self, name: str) -> None:
        raise UsageError(f"a router's providers have models of their own: ask with `model={name}`")

    @property
    def capabilities(self) -> LLMCapabilities:  # type: ignore[override] # it depends on the chain
        """What the first provider's model can do; how it must be asked, as far as all can be."""
        found = [each.capabilities for each in self._connectors()]
        if not found:
            return LLMCapabilities()
        return replace(
            found[0],
            prefill=all(each.prefill for each in found),
            completion_style=all(each.completion_style for each in found),
            grammar=all(each.grammar for each in found),
        )

    @property
    def own_temperature(self) -> float | None:  # type: ignore[override] # it depends on the chain
        """The temperature that somebody set for the provider that is asked first."""
        return self._first.own_temperature if self._first else None

    @property
    def _first(self) -> BaseLLMConnector | None:
        return next(self._connectors(), None)

    def _connectors(self) -> Iterator[BaseLLMConnector]:
        for candidate in self._chain.candidates(kept=True):
            try:
                made = self._chain.made(candidate.name)
                yield made or self._chain.connector(candidate.name)
            except ConfigError:
                continue

    async def get_provider(
        self, provider_type: ProviderType | str | None = None
    ) -> BaseLLMConnector:
        """Give the connector of one provider.

        Args:
            provider_type: its name; `None` gives the one that would be asked now.

        Raises:
            ConfigError: it is not known, or cannot be asked as it is configured.
        """
        route = await self._route((), {}, provider_type=provider_type)
        turn = await route.next()
        if turn is None:
            raise route.failure()
        turn.leave()
        return turn.connector

    # Asking

    async def complete(
        self,
        messages: Messages,
        *,
        provider_type: ProviderType | str | None = None,
        prefer: str | None = None,
        on_ask: OnAsk | None = None,
        **options: Any,
    ) -> LLMResponse:
        """Ask, and get the whole answer of the first provider that gives one.

        Args:
            messages: a prompt, a message, a mapping, or several of them.
            provider_type: the one provider that may be asked, whose own error counts; also one
                that is passed over.
            prefer: `cheap` asks the cheapest model that can do what the call needs, of all the
                providers in the chain.
            on_ask: awaited before each provider is asked; then no warning says who answered.
            **options: as for every connector. A `model` is for the providers that have it, or for
                the first one; the rest goes to whoever is asked. `timeout_ms` is for all of them
                together.

        Raises:
            LLMFailoverError: several were asked, and none delivered.
            LLMError: of the only one that was asked, or of one whose answer no other can better.
            ConfigError: nobody can be asked.
        """
        given = as_messages(messages)
        route = await self._route(given, options, provider_type, prefer, on_ask)
        answer = self._answer(route)
        # One way to the bridge and back, not one for each provider.
        return await (bridge.in_bridge(answer) if route.is_ours() else answer)

    async def _answer(self, route: Route) -> LLMResponse:
        while (turn := await route.next()) is not None:
            with turn:
                turn.response = await route.whole(turn)
            if turn.response is not None:
                response = route.record.complete(turn.response)
                self.totals.add(response)
                return response
        raise route.failure()

    def stream(
        self,
        messages: Messages,
        *,
        provider_type: ProviderType | str | None = None,
        prefer: str | None = None,
        on_ask: OnAsk | None = None,
        **options: Any,
    ) -> ResponseStream:
        """Ask, and get the answer as it arrives; as `complete()`.

        The next provider is only asked as long as no piece of an answer has been given.
        """
        given = as_messages(messages)
        context = contextvars.copy_context()
        answer = Relayed()

        async def source() -> AsyncGenerator[Chunk | list[Chunk], None]:
            route = await self._route(given, options, provider_type, prefer, on_ask)
            answer.record = route.record
            while (turn := await route.next()) is not None:
                with turn:
                    answer.stream = route.begun(turn, context)
                    async with aclosing(route.pieces(turn, answer.stream)) as pieces:
                        async for piece in pieces:
                            yield piece
                    turn.response = answer.stream.response
                if turn.response is not None:
                    return
            raise route.failure()

        return ResponseStream(source, answer, self.totals.add)

    async def generate(
        self,
        messages: Messages,
        provider_type: ProviderType | str | None = None,
        *,
        prefer: str | None = None,
        **options: Any,
    ) -> LLMResponse:
        """Ask, and get the whole answer: `complete()` by another name."""
        return await self.complete(messages, provider_type=provider_type, prefer=prefer, **options)

    async def _route(
        self,
        given: tuple[Message, ...],
        options: Mapping[str, Any],
        provider_type: ProviderType | str | None = None,
        prefer: str | None = None,
        on_ask: OnAsk | None = None,
    ) -> Route:
        if self._chain.fresh and prefer is None:
            candidates, models = self._order(given, options, prefer)
        else:
            # Keys may lie in files or a keyring, and there are hundreds of models.
            candidates, models = await bridge.in_thread(self._order, given, options, prefer)
        forced = provider_type is not None and str(provider_type).strip().lower() != "auto"
        if forced:
            candidates = (Candidate(name=self._chain.name_of(str(provider_type).strip())),)
            models = dict.fromkeys((candidates[0].name,), options.get("model") or "")
        settings = self._chain.common
        milliseconds = options.get("timeout_ms")
        wish = Wish(
            messages=given,
            options={name: value for name, value in options.items() if name != "model"},
            models={name: model for name, model in models.items() if model},
            on_ask=on_ask,
            total=settings.total_timeout if milliseconds is None else milliseconds / 1000,
        )
        return Route(
            self._chain,
            candidates,
            wish,
            book=self._book,
            patience=self._patience(settings),
            forced=forced,
            tell=self._tell,
        )

    def _order(
        self, given: tuple[Message, ...], options: Mapping[str, Any], prefer: str | None
    ) -> tuple[Sequence[Candidate], Mapping[str, str]]:
        """Give who may be asked, in order, and who is asked for which model."""
        candidates = self._chain.candidates(kept=True)
        model = str(options.get("model") or "")
        if prefer is not None:
            from llmport_magic.llm.routing.cheapest import cheapest, check_preference

            check_preference(prefer)
            return cheapest(candidates, self._registry, given, options)
        if not model:
            return candidates, {}
        rows = {row.name: row for row in self._registry.providers(installed=False)}
        owners = [c for c in candidates if c.name in rows and model in rows[c.name].models]
        owners = owners or list(candidates[:1])
        rest = [each for each in candidates if each not in owners]
        return [*owners, *rest], {each.name: model for each in owners}

    @staticmethod
    def _patience(settings: Settings) -> Patience:
        return Patience(unhealthy_after=settings.unhealthy_after, cool_down=settings.cool_down)

    def _tell(self, record: Record, name: str) -> None:
        """Warn, once for each cause, that another provider answers than the one that was asked."""
        listed = {each.name for each in self._chain.candidates(kept=True) if each.listed}
        failed = [(each.provider, f"failed ({each.error})", each.status) for each in record.asked]
        failed += [(n, f"is passed over ({why})", 0) for n, why in record.passed_over.items()]
        for provider, what, status in failed:
            cause = (provider, status, name)
            unasked = provider in record.passed_over and provider not in listed
            if unasked or cause in self._told:
                continue
            self._told.add(cause)
            warnings.warn_explicit(
                f"`{provider}` {what}: `{name}` answers", LLMFailoverWarning, "llmport_magic", 1
            )

    # How they are

    async def health_check(self, timeout: float = _PROBE_SECONDS) -> dict[str, Any]:
        """Look who could answer now: ask all for their list of models at once; never raises.

        Args:
            timeout: seconds for each of them.

        Returns:
            `primary_provider`, its name or `None`; `fallback_chain`, the names of the others; and
            `providers`, by name: `status` (`healthy`, `unhealthy` or `unconfigured`), `error`
            (why, or `None`), `probe_ms` (what looking took, or `None`), and its record as
            `Health.facts` gives it, `success_rate` in percent among it.
        """
        candidates = await bridge.in_thread(self._chain.candidates)
        patience = self._patience(self._chain.common)
        looks = (look(self._chain, c.name, self._book, patience, timeout) for c in candidates)
        found = await asyncio.gather(*looks)
        providers = {each.name: facts for each, facts in zip(candidates, found, strict=True)}
        can = [
            each.name
            for each in candidates
            if providers[each.name]["status"] == "healthy"
            or (each.certain and providers[each.name]["status"] == "unhealthy")
        ]
        return {
            "primary_provider": can[0] if can else None,
            "fallback_chain": can[1:],
            "providers": providers,
        }


def create_llm_factory(
    config: Mapping[str, Any] | Settings | str | None = None, **settings: Any
) -> LLMProviderFactory:
    """Make a router of everybody who can be asked.

    Args:
        config: as for `LLMProviderFactory`.
        **settings: any setting, for example `fallback=("groq", "ollama")`.

    Raises:
        ConfigError: a provider or a value is not known.
    """
    return LLMProviderFactory(config, **settings)
