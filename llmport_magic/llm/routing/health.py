"""How providers have done so far: who is passed over for a while, and who is tried again.

What counts against a provider is what it does to everybody: no connection, no answer in time, a
status of 500 and more. A bad key, a bad request or a refusal says nothing about its health.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from llmport_magic.locks import lock
from llmport_magic.secrets import redact

_LATENCIES = 20
_LONGEST_ERROR = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """When a provider is passed over, and for how long.

    Attributes:
        unhealthy_after: failures in a row; 0 never passes anybody over.
        cool_down: seconds until one call is let through to see.
    """

    unhealthy_after: int = 3
    cool_down: float = 300.0


class Health:
    """The record of one provider; every method may be called from any thread.

    Args:
        clock: gives seconds that never jump.
        now: gives the time of day.

    Attributes:
        requests: calls that have ended, each counted once, however often it was sent.
        consecutive_failures: those in a row that count against the provider.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._now = now
        self._lock = lock()
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._answered = 0
        self._last_success: datetime | None = None
        self._last_failure: datetime | None = None
        self._last_error: str | None = None
        self._failed_at = float("-inf")
        self._looking = False
        self.requests = 0
        self.consecutive_failures = 0

    def admits(self, patience: Patience) -> bool:
        """Tell whether a call may go to the provider now.

        After the cool-down one call is let through: whoever is told so must report how it ended,
        by `succeeded`, `failed` or `left`; until then nobody else is.
        """
        with self._lock:
            if not self._open(patience):
                return True
            if self._looking or self._wait(patience) > 0:
                return False
            self._looking = True
            return True

    def succeeded(self, seconds: float) -> None:
        """Count a call that was answered after so many seconds."""
        with self._lock:
            self.requests += 1
            self._answered += 1
            self._latencies.append(seconds)
            self._last_success = self._now()
            self._recovered()

    def failed(self, error: BaseException, *, counts: bool) -> None:
        """Count a call that failed.

        Args:
            error: what it raised.
            counts: whether that speaks against the provider's health; where it does not, the
                provider has answered, and so is there.
        """
        with self._lock:
            self.requests += 1
            self._last_failure = self._now()
            said = redact(" ".join(f"{type(error).__name__}: {error}".split()))
            self._last_error = said[:_LONGEST_ERROR]
            if not counts:
                self._recovered()
                return
            self.consecutive_failures += 1
            self._failed_at = self._clock()
            self._looking = False

    def left(self) -> None:
        """Take note that a call was given up before anything could be told from it."""
        with self._lock:
            self._looking = False

    def wait(self, patience: Patience) -> float:
        """Give the seconds for which the provider is still passed over; 0 for a healthy one."""
        with self._lock:
            return max(0.0, self._wait(patience)) if self._open(patience) else 0.0

    def is_healthy(self, patience: Patience) -> bool:
        """Tell whether the provider has not failed too often in a row."""
        with self._lock:
            return not self._open(patience)

    def facts(self) -> dict[str, Any]:
        """Give the record.

        Returns:
            `requests`; `success_rate` in percent, 100.0 where nothing was asked yet; `latency_ms`,
            the median of the last 20 whole answers, or `None`; `consecutive_failures`;
            `last_success` and `last_failure` as ISO 8601 in UTC, or `None`; `last_error`, without
            secrets, or `None`.
        """
        with self._lock:
            rate = 100.0 * self._answered / self.requests if self.requests else 100.0
            middle = statistics.median(self._latencies) if self._latencies else None
            return {
                "requests": self.requests,
                "success_rate": rate,
                "latency_ms": None if middle is None else round(middle * 1000, 3),
                "consecutive_failures": self.consecutive_failures,
                "last_success": _iso(self._last_success),
                "last_failure": _iso(self._last_failure),
                "last_error": self._last_error,
            }

    def _open(self, patience: Patience) -> bool:
        return 0 < patience.unhealthy_after <= self.consecutive_failures

    def _wait(self, patience: Patience) -> float:
        return self._failed_at + patience.cool_down - self._clock()

    def _recovered(self) -> None:
        self.consecutive_failures = 0
        self._looking = False


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")


class HealthBook:
    """The records of several providers, each made when it is first asked for.

    Args:
        clock: gives seconds that never jump.
        now: gives the time of day.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._now = now
        self._lock = lock()
        self._records: dict[tuple[str, ...], Health] = {}

    def of(self, *key: str) -> Health:
        """Give the record of a provider, by its name and where it is."""
        with self._lock:
            if key not in self._records:
                self._records[key] = Health(self._clock, self._now)
            return self._records[key]


_shared = HealthBook()


def shared_book() -> HealthBook:
    """Give the records that the notebook and the Python API keep in this process."""
    return _shared
