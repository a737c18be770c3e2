"""The seam between synchronous and asynchronous code."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time

import pytest

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
        thread.join(5)
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


def test_an_interrupt_cancels_the_task_at_once() -> None:
    """An interrupt frees the caller and the task is really cancelled (S0-39)."""
    # A process that a shell starts in the background ignores the signal, and so would this one.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    cancelled = threading.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    begun = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            bridge.run(slow())
    finally:
        signal.signal(signal.SIGINT, previous)
    assert cancelled.wait(1)
    assert time.monotonic() - begun < 5


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
            for number in range(1000):
                yield number
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    for number in bridge.iterate(items()):
        if number == 3:
            break
    assert closed.wait(2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_gets_a_bridge_of_its_own() -> None:
    """A forked child can run coroutines although its parent's thread is not there (S4-06)."""
    assert bridge.run(_answer()) == 42
    child = os.fork()
    if child == 0:
        os._exit(bridge.run(_answer()))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 42
