"""The only seam between synchronous and asynchronous code: one background loop.

All input and output of the package runs on one event loop in one daemon thread. That is why a
connection pool outlives a cell, why `llm.call_llm()` works inside a notebook's running loop, and
why an interrupt can free the main thread while the request is being hung up.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

# How long an interrupted caller waits for the cancelled task to hang up and write what it has.
_GRACE_SECONDS = 0.15


class _Bridge:
    """A running event loop, its thread, and the process that owns both."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="llmport-io", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


_lock = threading.Lock()
_current: _Bridge | None = None


def _bridge() -> _Bridge:
    global _current  # noqa: PLW0603 - one loop a process is the point
    with _lock:
        # A forked child has the object but not the thread: it gets a bridge of its own.
        if _current is None or _current.pid != os.getpid() or not _current.thread.is_alive():
            _current = _Bridge()
        return _current


def _forget_after_fork() -> None:
    global _lock, _current  # noqa: PLW0603
    _lock = threading.Lock()
    _current = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def loop() -> asyncio.AbstractEventLoop:
    """Give the loop that all input and output runs on, starting it on first use."""
    return _bridge().loop


def on_bridge() -> bool:
    """Tell whether the calling thread is the bridge's own."""
    return _current is not None and threading.current_thread() is _current.thread


class _Task:
    """A coroutine on the bridge, and whether it has really ended, cleanup included."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.ended = threading.Event()
        self.future: Future[Any] = asyncio.run_coroutine_threadsafe(
            self._watch(coroutine), _bridge().loop
        )
        # A task that is cancelled before its first step never reaches the `finally` below.
        self.future.add_done_callback(lambda _: coroutine.close() if not self._begun else None)

    _begun = False

    async def _watch(self, coroutine: Coroutine[Any, Any, T]) -> T:
        self._begun = True
        try:
            return await coroutine
        finally:
            self.ended.set()

    def cancel(self) -> None:
        """Cancel, and wait a moment for the task to clean up."""
        self.future.cancel()
        if self._begun and not on_bridge():
            self.ended.wait(_GRACE_SECONDS)


def submit(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine on the bridge; cancelling the future cancels the task."""
    return asyncio.run_coroutine_threadsafe(coroutine, _bridge().loop)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the bridge and wait for its result, from any other thread.

    Works in a script, in a thread, and inside a notebook's running loop. An interrupt cancels
    the task and is raised at once.

    Raises:
        RuntimeError: on the bridge's own thread, where waiting would never end; await instead.
    """
    _refuse_on_bridge(coroutine)
    task = _Task(coroutine)
    try:
        result: T = task.future.result()
    except BaseException:
        task.cancel()
        raise
    return result


async def in_bridge(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine on the bridge from any loop; cancelling the caller cancels it."""
    if on_bridge():
        return await coroutine
    return await asyncio.wrap_future(submit(coroutine))


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a thread of its own; a cancelled caller does not wait for it.

    Not the loop's executor: its threads are waited for when the process ends.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type] # a T whenever there is no error

    def work() -> None:
        result: T | None = None
        failure: Exception | None = None
        try:
            result = function(*arguments)
        except (StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            # A future cannot hold the first, and the others would end the loop.
            failure = RuntimeError(f"the function raised {error!r}")
        except Exception as error:  # noqa: BLE001 - handed to the caller
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="llmport-thread", daemon=True).start()
    return await outcome


def iterate(items: AsyncIterator[T]) -> Generator[T, None, None]:
    """Drive an async iterator on the bridge from synchronous code, item by item.

    Closing the iterator, an interrupt and an error in the caller's loop body all close `items`.

    Raises:
        RuntimeError: on the bridge's own thread; use `async for` instead.
    """
    arrivals: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    async def pump() -> None:
        try:
            async for item in items:
                arrivals.put((True, item))
            arrivals.put((False, None))
        except Exception as error:  # noqa: BLE001 - handed over to the waiting thread
            arrivals.put((False, error))
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    if on_bridge():
        raise RuntimeError("this is the bridge's own thread: use `async for` instead")
    return _drain(_Task(pump()), arrivals)


def _drain(
    task: _Task, arrivals: queue.SimpleQueue[tuple[bool, Any]]
) -> Generator[Any, None, None]:
    try:
        while True:
            more, item = arrivals.get()
            if not more:
                if item is not None:
                    raise item
                return
            yield item
    finally:
        task.cancel()


def _refuse_on_bridge(coroutine: Coroutine[Any, Any, Any]) -> None:
    if on_bridge():
        coroutine.close()
        raise RuntimeError("this is the bridge's own thread: await the coroutine instead")
