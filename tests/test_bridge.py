"""The seam between synchronous and asynchronous code."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from warned import no_warning

from llmport_magic import bridge


async def _answer() -> int:
    await asyncio.sleep(0)
    return 42


def test_runs_in_plain_python() -> None:
    """A coroutine gives its result outside of any loop (S4-06)."""
    assert bridge.run(_answer()) == 42


def test_runs_inside_a_running_loop() -> None:
    """The sync face works inside a running loop, as in a notebook cell (S4-06)."""

    async def cell() -> int:
        return bridge.run(_answer())

    assert asyncio.run(cell()) == 42


def test_runs_from_threads() -> None:
    """Many threads can wait at once, each for its own result (S4-06)."""
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(bridge.run(_answer()))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [42] * 20


def test_works_after_another_loop_was_closed() -> None:
    """A loop that has come and gone leaves the bridge as it was (S4-06)."""
    assert asyncio.run(bridge.in_bridge(_answer())) == 42
    assert asyncio.run(bridge.in_bridge(_answer())) == 42
    assert bridge.run(_answer()) == 42


def test_refuses_to_wait_on_its_own_thread() -> None:
    """Waiting on the bridge's own thread raises instead of hanging (S4-06)."""

    async def on_the_bridge() -> str:
        with pytest.raises(RuntimeError, match="await"):
            bridge.run(_answer())
        return "raised"

    assert bridge.run(on_the_bridge()) == "raised"


class Slow:
    """What waits on the bridge, and whether it was told to stop."""

    def __init__(self) -> None:
        self.begun, self.stopped = threading.Event(), threading.Event()

    async def wait(self) -> None:
        """Wait until cancelled."""
        self.begun.set()
        try:
            await asyncio.sleep(3_600)
        finally:
            self.stopped.set()

    async def items(self) -> AsyncIterator[int]:
        """Wait for the first item."""
        await self.wait()
        yield 1


BOTH = pytest.mark.parametrize(
    "wait",
    [lambda slow: bridge.run(slow.wait()), lambda slow: next(bridge.iterate(slow.items()))],
    ids=["run", "iterate"],
)


@contextmanager
def without_a_warning() -> Iterator[None]:
    """Let every warning be an error, but for what earlier tests left to be collected."""
    gc.collect()
    with no_warning():
        yield
        gc.collect()


def _to_the_process() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def _to_this_thread() -> None:
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


# Whoever is not freed waits for an hour.
@pytest.mark.timeout(120)
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="a thread gets no signal here")
@pytest.mark.parametrize("interrupt", [_to_the_process, _to_this_thread])
@BOTH
def test_an_interrupt_frees_the_caller_whoever_gets_it(wait, interrupt) -> None:
    """The system may hand a signal to any thread: the one that waits is freed all the same.

    What it waited for is cancelled, too (S0-39).
    """
    # A process that a shell starts in the background ignores the signal, and so would this one.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    slow = Slow()

    def interrupted() -> None:
        if slow.begun.wait(60):
            # Time for the caller to fall asleep; one that has not yet is freed as well.
            time.sleep(0.3)
            interrupt()

    other = threading.Thread(target=interrupted)
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            wait(slow)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert slow.stopped.wait(60)


@BOTH
def test_an_interrupt_while_it_starts_leaves_nothing_behind(
    wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was handed to the bridge when the interrupt came is cancelled, or never begins."""
    plain, slow = asyncio.run_coroutine_threadsafe, Slow()

    def interrupted(coroutine: Any, loop: asyncio.AbstractEventLoop) -> None:
        plain(coroutine, loop)
        slow.begun.wait(60)
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        wait(slow)
    assert slow.begun.is_set()
    assert slow.stopped.wait(60)


def test_an_interrupt_before_it_begins_lets_it_never_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the bridge had no time for yet is not begun after the interrupt."""
    plain, slow, free = asyncio.run_coroutine_threadsafe, Slow(), threading.Event()
    bridge.loop().call_soon_threadsafe(free.wait, 60)

    def interrupted(coroutine: Any, loop: asyncio.AbstractEventLoop) -> None:
        plain(coroutine, loop)
        raise KeyboardInterrupt

    with without_a_warning():
        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bridge.run(slow.wait())
        free.set()
        monkeypatch.undo()
        assert bridge.run(_answer()) == 42
    assert not slow.begun.is_set()


def test_an_interrupt_before_it_is_handed_over_begins_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What never reached the bridge is closed, without a warning that nobody awaited it."""

    def interrupted(coroutine: Any, _: asyncio.AbstractEventLoop) -> None:
        coroutine.close()
        raise KeyboardInterrupt

    slow = Slow()
    with without_a_warning():
        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bridge.run(slow.wait())
        monkeypatch.undo()
        assert bridge.run(_answer()) == 42
    assert not slow.begun.is_set()


def test_what_is_not_iterated_is_not_begun() -> None:
    """An iterator that is closed before its first item leaves nothing running."""
    slow = Slow()
    with without_a_warning():
        bridge.iterate(slow.items()).close()
        assert bridge.run(_answer()) == 42
    assert not slow.begun.is_set()


def test_iterate_gives_items_and_raises_what_the_iterator_raises() -> None:
    """Items come one by one, and an error arrives in the calling thread."""

    async def items():
        yield 1
        yield 2
        raise LookupError("the end")

    seen = []
    with pytest.raises(LookupError, match="the end"):
        seen.extend(bridge.iterate(items()))
    assert next(bridge.iterate(items())) == 1


def test_leaving_the_loop_early_closes_the_iterator() -> None:
    """Breaking out of the loop closes the async iterator, cleanup included."""
    closed = threading.Event()

    async def items():
        try:
            for number in itertools.count():
                yield number
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    for number in bridge.iterate(items()):
        if number == 3:
            break
    assert closed.wait(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_gets_a_bridge_of_its_own() -> None:
    """A forked child can run coroutines although its parent's thread is not there (S4-06)."""
    assert bridge.run(_answer()) == 42
    child = os.fork()
    if child == 0:
        try:
            os._exit(bridge.run(_answer()))
        finally:
            os._exit(1)  # there is one run of the tests, and it is not the child's
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 42


def test_a_silence_is_told() -> None:
    """While nothing arrives the caller's own thread is called, and can use what it has."""
    silence, threads = threading.Event(), []

    def idle() -> None:
        threads.append(threading.current_thread())
        silence.set()

    async def items() -> AsyncIterator[int]:
        yield 1
        await asyncio.to_thread(silence.wait)
        yield 2

    assert list(bridge.iterate(items(), idle)) == [1, 2]
    assert set(threads) == {threading.current_thread()}
