"""How providers have done: the record, the breaker, and how they are looked at."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from llmport_magic.errors import LLMError
from llmport_magic.llm.routing.health import Health, HealthBook, Patience

PATIENCE = Patience()
START = datetime(2026, 11, 21, 12, tzinfo=UTC)


class _Clock:
    """A clock that only moves when it is told to; the time of day goes with it."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds - 1000)


@pytest.fixture
def clock() -> _Clock:
    """Give a clock that stands still."""
    return _Clock()


@pytest.fixture
def health(clock: _Clock) -> Health:
    """Give the record of a provider that nobody has asked."""
    return Health(clock, clock.now)


def _fail(health: Health, times: int = 3) -> None:
    for _ in range(times):
        assert health.admits(PATIENCE)
        health.failed(LLMError("no"), counts=True)


def test_one_that_was_never_asked_is_healthy(health: Health) -> None:
    """A provider without a record has 100.0 percent of 0 requests, and nothing else (S3-08)."""
    assert health.facts() == {
        "requests": 0,
        "success_rate": 100.0,
        "latency_ms": None,
        "consecutive_failures": 0,
        "last_success": None,
        "last_failure": None,
        "last_error": None,
    }
    assert health.admits(PATIENCE)


def test_the_record_counts(health: Health, clock: _Clock) -> None:
    """Percent, median latency, failures in a row and ISO times are those of the calls (S3-08)."""
    for seconds in (0.1, 0.2, 0.9):
        health.succeeded(seconds)
    clock.seconds += 60
    health.failed(LLMError("it\nbroke"), counts=True)

    facts = health.facts()
    assert facts["requests"] == 4
    assert facts["success_rate"] == 75.0
    assert facts["latency_ms"] == 200.0
    assert facts["consecutive_failures"] == 1
    assert facts["last_success"] == "2026-11-21T12:00:00.000+00:00"
    assert facts["last_failure"] == "2026-11-21T12:01:00.000+00:00"
    assert facts["last_error"] == "LLMError: it broke"
    assert datetime.fromisoformat(facts["last_failure"]) - START == timedelta(seconds=60)


def test_the_last_error_holds_no_key(health: Health) -> None:
    """A key that a provider quotes is not in the record (S3-08, X-07)."""
    health.failed(LLMError("bad key sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"), counts=True)

    assert "abcdefghijkl" not in health.facts()["last_error"]


def test_three_failures_in_a_row_pass_it_over(health: Health, clock: _Clock) -> None:
    """Two failures and a success are no three in a row; three are, for five minutes (S3-09)."""
    _fail(health, 2)
    health.succeeded(0.1)
    _fail(health, 2)
    assert health.is_healthy(PATIENCE)
    _fail(health, 1)

    assert not health.is_healthy(PATIENCE)
    assert not health.admits(PATIENCE)
    assert health.wait(PATIENCE) == 300
    clock.seconds += 299
    assert not health.admits(PATIENCE)
    assert health.wait(PATIENCE) == 1


def test_one_call_looks_after_the_cool_down(health: Health, clock: _Clock) -> None:
    """After the cool-down one call is let through, and its success lets all through (case 40)."""
    _fail(health)
    clock.seconds += 300

    assert [health.admits(PATIENCE) for _ in range(3)] == [True, False, False]
    health.succeeded(0.1)
    assert [health.admits(PATIENCE) for _ in range(3)] == [True, True, True]


def test_a_look_that_fails_waits_anew(health: Health, clock: _Clock) -> None:
    """Where that one call fails, the cool-down begins again (case 40)."""
    _fail(health)
    clock.seconds += 300
    assert health.admits(PATIENCE)
    health.failed(LLMError("no"), counts=True)

    assert not health.admits(PATIENCE)
    clock.seconds += 300
    assert health.admits(PATIENCE)


def test_a_look_that_is_cancelled_leaves_the_next_one_free(health: Health, clock: _Clock) -> None:
    """A cancelled call tells nothing: another one may look (S3-09)."""
    _fail(health)
    clock.seconds += 300
    assert health.admits(PATIENCE)
    health.left()

    assert health.admits(PATIENCE)
    assert health.facts()["requests"] == 3


def test_what_does_not_count_never_passes_it_over(health: Health) -> None:
    """Failures that only one user gets lower the rate and never pass anybody over (case 40)."""
    for _ in range(10):
        health.failed(LLMError("bad key"), counts=False)

    assert health.is_healthy(PATIENCE)
    assert health.facts()["success_rate"] == 0.0
    assert health.facts()["consecutive_failures"] == 0


def test_the_settings_say_when(health: Health, clock: _Clock) -> None:
    """`unhealthy_after` and `cool_down` are obeyed; 0 passes nobody over (S3-09)."""
    quick = Patience(unhealthy_after=1, cool_down=2)
    health.failed(LLMError("no"), counts=True)

    assert not health.admits(quick)
    assert health.admits(PATIENCE)
    assert health.admits(Patience(unhealthy_after=0))
    clock.seconds += 2
    assert health.admits(quick)


def test_records_are_exact_in_many_threads(health: Health, clock: _Clock) -> None:
    """Calls of many threads are all counted, and one of them looks after the cool-down (S3-08)."""
    _fail(health)
    clock.seconds += 300
    admitted: list[bool] = []
    threads = [
        threading.Thread(target=lambda: admitted.append(health.admits(PATIENCE))) for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert admitted.count(True) == 1

    def work() -> None:
        for _ in range(200):
            health.succeeded(0.001)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert health.facts()["requests"] == 2003


def test_a_book_keeps_one_record_for_each_address() -> None:
    """A provider that moves to another address begins anew; the same address is the same record."""
    book = HealthBook()
    _fail(book.of("local", "http://localhost:1"))

    assert not book.of("local", "http://localhost:1").is_healthy(PATIENCE)
    assert book.of("local", "http://localhost:2").is_healthy(PATIENCE)
