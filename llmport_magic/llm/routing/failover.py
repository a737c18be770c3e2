"""What becomes of one call that may be asked of several providers, one after the other.

Another one is asked where it may do better: nobody there, no answer in time, a status of 500 and
more, a bad key, a model that is not there, too many requests. A request that is wrong or refused
stays so, and what a user has seen is never asked for twice.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from llmport_magic.errors import (
    ConfigError,
    LLMContentError,
    LLMContextError,
    LLMError,
    LLMFailoverError,
    LLMLimitError,
    LLMOutputError,
    LLMPortError,
)
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.retry import elsewhere
from llmport_magic.secrets import redact, scrub

if TYPE_CHECKING:
    from types import TracebackType

    from llmport_magic.llm.connector import BaseLLMConnector
    from llmport_magic.llm.reply import LLMResponse
    from llmport_magic.llm.routing.health import Health

# Of the statuses below 500: bad key, no credit, not allowed, no such model, too late, too often.
_ELSEWHERE = frozenset({401, 402, 403, 404, 408, 409, 410, 425, 429})
_CLIENT, _SERVER = 400, 500
_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One provider that was asked, and what came of it.

    Attributes:
        provider: its name.
        model: that was asked, as the provider spells it.
        error: why there is no answer, in one line without secrets; `None` where it answered.
        status: the HTTP status of the failure, where there was one.
        seconds: that it took.
        sends: how often the request was sent.
    """

    provider: str
    model: str
    error: str | None = None
    status: int | None = None
    seconds: float = 0.0
    sends: int = 1

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain values, for `metadata["attempts"]` and the log."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A provider is about to be asked.

    Attributes:
        provider: its name.
        model: as the provider spells it.
        failed: those that were asked before.
        skipped: who could not be asked since the one before, and why.
    """

    provider: str
    model: str
    failed: tuple[Asked, ...]
    skipped: Mapping[str, str]


OnAsk = Callable[[Asking], Awaitable[None]]


def may_do_better(error: Exception) -> bool:
    """Tell whether another provider may answer what this one did not."""
    if isinstance(error, (LLMContentError, LLMOutputError)):
        return False
    if isinstance(error, LLMPortError) and not isinstance(error, LLMError):
        return False
    if getattr(error, "key_refused", False):
        return True
    status = status_of(error)
    if status is not None:
        return status in _ELSEWHERE or not _CLIENT <= status < _SERVER
    return isinstance(error, LLMError) or _of_the_network(error)


def speaks_against(error: Exception) -> bool:
    """Tell whether a failure counts against the provider's health: not what only one user gets."""
    status = status_of(error)
    answered = status is not None and _CLIENT <= status < _SERVER
    ours = isinstance(error, (LLMContextError, LLMLimitError))
    return may_do_better(error) and not answered and not ours


def status_of(error: Exception) -> int | None:
    """Give the HTTP status of a failure, also of a third party's HTTP library."""
    response = getattr(error, "response", None)
    for found in (
        getattr(error, "status", None),
        getattr(error, "status_code", None),
        getattr(response, "status_code", None),
    ):
        if isinstance(found, int):
            return found
    return None


def _of_the_network(error: Exception) -> bool:
    """Tell whether an error of a third party is about the network, by its classes."""
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    return isinstance(error, OSError) or any(
        word in names for word in ("Timeout", "ConnectionError", "ConnectError", "TransportError")
    )


def reason(error: BaseException) -> str:
    """Give a failure in one line of bounded length, without secrets."""
    said = redact(" ".join(str(error).split())) or type(error).__name__
    if not isinstance(error, LLMPortError):
        said = f"{type(error).__name__}: {said}"
    return said if len(said) <= _LONGEST_REASON else said[:_LONGEST_REASON] + "…"


class Turn:
    """One provider's turn in a call: `with turn:` records how it ends.

    A failure that another provider may do better is swallowed there, unless a piece of the answer
    was given on before it.

    Args:
        name: of the provider.
        connector: that asks it.
        model: that is asked.
        health: of the provider.
        record: of the call that it is a part of.
        others: whether somebody else can be asked afterwards.
    """

    def __init__(
        self,
        name: str,
        connector: BaseLLMConnector,
        model: str,
        health: Health,
        record: Record,
        *,
        others: bool,
    ) -> None:
        self.name = name
        self.connector = connector
        self.model = model
        self.shown = False
        self.response: LLMResponse | None = None
        self._health = health
        self._record = record
        self._others = others
        self._before = False
        self._begun = 0.0

    def leave(self) -> None:
        """Give the turn up before anybody was asked."""
        self._health.left()

    def __enter__(self) -> Self:
        self._before = elsewhere.get()
        elsewhere.set(self._others)
        self._begun = time.monotonic()
        return self

    def __exit__(
        self,
        _: type[BaseException] | None,
        error: BaseException | None,
        __: TracebackType | None,
    ) -> bool:
        elsewhere.set(self._before)
        seconds = time.monotonic() - self._begun
        if error is None:
            self._answered(seconds)
            return False
        if not isinstance(error, Exception):
            self._health.left()
            self._record.asked.append(self._asked(seconds, error="closed before its end"))
            return False
        if not isinstance(error, LLMError) or type(self.connector) is not LLMProvider:
            # Of somebody else's code; our own says nothing that it must not.
            scrub(error)
        return self._failed(error, seconds)

    def _answered(self, seconds: float) -> None:
        self._health.succeeded(seconds)
        self._record.asked.append(self._asked(seconds))

    def _asked(self, seconds: float, **failure: Any) -> Asked:
        response = self.response
        sends = 1 if response is None else response.metadata.get("sends", 1)
        given = {"sends": sends, "seconds": round(seconds, 3), **failure}
        model = self.model or (response.model if response else "")
        return Asked(provider=self.name, model=model, **given)

    def _failed(self, error: Exception, seconds: float) -> bool:
        if isinstance(error, LLMPortError) and not isinstance(error, LLMError):
            # It was never asked: the request or the settings are wrong.
            self._health.left()
            if isinstance(error, ConfigError) and not self._record.forced:
                self._record.skip(self.name, error)
                return True
            return False
        self._health.failed(error, counts=speaks_against(error))
        failure = {"error": reason(error), "status": status_of(error)}
        sends = getattr(error, "attempts", 1)
        self._record.failed(error, self._asked(seconds, sends=sends, **failure))
        return may_do_better(error) and not self.shown and not self._record.forced


class Record:
    """What is known of one call: who was asked, who failed, who could not be asked.

    Args:
        forced: whether only one provider may be asked, whose own error counts.

    Attributes:
        asked: the providers that were asked, in that order.
        skipped: why others were not.
        resting: who failed too often to be asked before the others, and until when.
    """

    def __init__(self, *, forced: bool = False) -> None:
        self.forced = forced
        self.asked: list[Asked] = []
        self.skipped: dict[str, str] = {}
        self.resting: dict[str, str] = {}
        self._failures: list[Exception] = []
        self._not_asked: list[ConfigError] = []

    def skip(self, name: str, error: ConfigError) -> None:
        """Take note that a provider cannot be asked as it is configured."""
        self.skipped[name] = reason(error)
        self._not_asked.append(error)

    def rests(self, name: str, seconds: float) -> None:
        """Take note that a provider failed too often to be asked now."""
        self.resting[name] = f"it failed too often, and is tried again in {seconds:.0f} s"

    @property
    def passed_over(self) -> dict[str, str]:
        """Who was not asked, and why."""
        return {**self.skipped, **self.resting}

    def failed(self, error: Exception, asked: Asked) -> None:
        """Take note that a provider was asked and failed."""
        self.asked.append(asked)
        self._failures.append(error)
        if isinstance(error, LLMError):
            error.attempts_made = self.attempts()

    def attempts(self) -> tuple[Mapping[str, Any], ...]:
        """Give who was asked so far as plain values."""
        return tuple(each.as_dict() for each in self.asked)

    def complete(self, response: LLMResponse) -> LLMResponse:
        """Say in a response who was asked for it, the one that answered last."""
        response.metadata["attempts"] = list(self.attempts())
        if self.passed_over:
            response.metadata["passed_over"] = self.passed_over
        return response

    def failure(self, out_of_time: Sequence[str] = ()) -> Exception:
        """Make the error of a call that nobody answered.

        Args:
            out_of_time: who could not be asked any more within the deadline of the call.
        """
        failures = self._failures
        if not failures:
            if len(self._not_asked) == 1:
                return self._not_asked[0]
            return ConfigError(f"nobody can be asked: {_listed(self.skipped)}")
        if len(failures) == 1 and not self.skipped and not out_of_time:
            return failures[0]
        said = "; ".join(_named(each.provider, each.error or "") for each in self.asked)
        rest = f"; not asked: {_listed(self.skipped)}" if self.skipped else ""
        if out_of_time:
            rest += f"; no time was left for {', '.join(out_of_time)}"
        last = failures[-1]
        error = LLMFailoverError(
            f"no provider answered: {said}{rest}",
            failures=failures,
            provider=self.asked[-1].provider,
            model=self.asked[-1].model,
            status=self.asked[-1].status,
            request_id=getattr(last, "request_id", None),
            retryable=any(getattr(each, "retryable", False) for each in failures),
            attempts=sum(each.sends for each in self.asked),
        )
        error.attempts_made = self.attempts()
        return error


def _listed(skipped: Mapping[str, str]) -> str:
    return "; ".join(_named(name, why) for name, why in skipped.items())


def _named(name: str, why: str) -> str:
    return why if f"`{name}`" in why else f"`{name}`: {why}"
