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
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from llmport_magic.locks import lock

T = TypeVar("T")

# How long an interrupted caller waits for the cancelled task to hang up and write what it has.
_GRACE_SECONDS = 0.15
# A waiting thread looks up this often: where the system hands an interrupt to another thread, for
# example to one that is just being made, the wait of the main thread does not end by itself. A
# loop that awaits looks up as often, see `awake()`.
_BEAT = 0.1


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


_lock = lock()
_current: _Bridge | None = None


def _bridge() -> _Bridge:
    global _current
    with _lock:
        # A forked child has the object but not the thread: it gets a bridge of its own.
        if _current is None or _current.pid != os.getpid() or not _current.thread.is_alive():
            _current = _Bridge()
        return _current


def _forget_after_fork() -> None:
    global _current
    _current = None
    _letters.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def loop() -> asyncio.AbstractEventLoop:
    """Give the loop that all input and output runs on, starting it on first use."""
    return _bridge().loop


def on_bridge() -> bool:
    """Tell whether the calling thread is the bridge's own."""
    return _current is not None and threading.current_thread() is _current.thread


class _Task:
    """A coroutine on the bridge, and whether it has really ended, cleanup included.

    It is made first and started then, within the caller's `try`: an interrupt that comes while it
    starts leaves no task behind that nobody could cancel.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.ended = threading.Event()
        self._coroutine = coroutine
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[Any] | None = None
        self._cancelled = False

    def start(self) -> Future[Any]:
        """Hand it to the bridge."""
        self._loop = _bridge().loop
        return asyncio.run_coroutine_threadsafe(self._watch(), self._loop)

    async def _watch(self) -> Any:
        self._running = asyncio.current_task()
        try:
            if self._cancelled:
                self._coroutine.close()
                raise asyncio.CancelledError
            return await self._coroutine
        finally:
            self.ended.set()

    def cancel(self) -> None:
        """Cancel, and wait a moment for the task to clean up."""
        self._cancelled = True
        if self._loop is None:
            self._coroutine.close()
        elif not self.ended.is_set():
            # What was handed over before comes before: it begins, or never will.
            self._loop.call_soon_threadsafe(self._stop)
            if self._running is not None and not on_bridge():
                self.ended.wait(_GRACE_SECONDS)

    def _stop(self) -> None:
        if self._running is None:
            self._coroutine.close()
        else:
            self._running.cancel()


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
        result: T = _waited(task.start())
    except BaseException:
        task.cancel()
        raise
    return result


def _waited(future: Future[T]) -> T:
    while True:
        try:
            return future.result(_BEAT)
        except TimeoutError:
            if future.done():
                return future.result()  # the coroutine's own error, or a result that just came


async def in_bridge(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine on the bridge from any loop; cancelling the caller cancels it."""
    if on_bridge():
        return await coroutine
    return await awake(_Errand(coroutine).outcome)


async def awake(awaited: Awaitable[T]) -> T:
    """Await something, and let the main thread's loop look up each tenth of a second meanwhile.

    A notebook's stop button cancels the cell from within a signal's handler, and that wakes no
    loop that sleeps. Only the main thread gets signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return await awaited
    loop = asyncio.get_running_loop()
    beat: asyncio.TimerHandle

    def look_up() -> None:
        nonlocal beat
        beat = loop.call_later(_BEAT, look_up)

    beat = loop.call_later(_BEAT, look_up)
    try:
        return await awaited
    finally:
        beat.cancel()


class _Errand(Generic[T]):
    """A coroutine that another loop sends to the bridge, and its way back."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._home = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[T] | None = None
        self.outcome: asyncio.Future[T] = self._home.create_future()
        self.outcome.add_done_callback(self._cancel)
        self._bridge = _bridge().loop
        tell(self._bridge, self._start)

    def _start(self) -> None:
        if self.outcome.cancelled():
            self._coroutine.close()
            return
        self._task = self._bridge.create_task(self._coroutine, context=self._context)
        self._task.add_done_callback(self._return)

    def _return(self, task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            task.exception()  # it is the caller's, also where nobody waits any more
        tell(self._home, self._settle)

    def _settle(self) -> None:
        task = self._task
        if task is None or self.outcome.done():
            return
        if task.cancelled():
            self.outcome.cancel()
        elif (error := task.exception()) is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())

    def _cancel(self, outcome: asyncio.Future[T]) -> None:
        if outcome.cancelled() and (self._task is None or not self._task.done()):
            tell(self._bridge, self._stop)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()


class _Letters:
    """Callbacks on their way to a loop; those that are sent together wake it once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._sent: deque[Callable[[], object]] = deque()
        self._awaited = False

    def send(self, callback: Callable[[], object]) -> None:
        self._sent.append(callback)
        # First the letter, then the look: the loop looks the other way round.
        if not self._awaited:
            self._awaited = True
            loop = self._loop()
            if loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._awaited = False
        while self._sent:
            self._sent.popleft()()


_letters: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Letters] = (
    weakref.WeakKeyDictionary()
)


def tell(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Run a callback on a loop, from any thread; on a loop that is closed, never.

    To wake a thread costs more than most callbacks do: what is told together wakes it once.
    """
    letters = _letters.get(loop)
    if letters is None:
        with _lock:
            letters = _letters.setdefault(loop, _Letters(loop))
    letters.send(callback)


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
    return await awake(outcome)


def iterate(
    items: AsyncIterator[T], idle: Callable[[], object] | None = None
) -> Generator[T, None, None]:
    """Drive an async iterator on the bridge from synchronous code, item by item.

    Closing the iterator, an interrupt and an error in the caller's loop body all close `items`.

    Args:
        items: what to drive.
        idle: called in the caller's thread each tenth of a second in which nothing arrives.

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
    return _drain(pump, arrivals, idle)


def _drain(
    pump: Callable[[], Coroutine[Any, Any, None]],
    arrivals: queue.SimpleQueue[tuple[bool, Any]],
    idle: Callable[[], object] | None,
) -> Generator[Any, None, None]:
    task = _Task(pump())
    try:
        # Before Python 3.13 an interrupt at the end of a loop's turn counts as one of the line
        # before the loop: that line must not be the `try`.
        task.start()
        while True:
            more, item = _arrival(arrivals, idle)
            if not more:
                if item is not None:
                    raise item
                return
            yield item
    finally:
        task.cancel()


def _arrival(
    arrivals: queue.SimpleQueue[tuple[bool, Any]], idle: Callable[[], object] | None
) -> tuple[bool, Any]:
    while True:
        try:
            return arrivals.get(timeout=_BEAT)
        except queue.Empty:
            if idle is not None:
                idle()


def _refuse_on_bridge(coroutine: Coroutine[Any, Any, Any]) -> None:
    if on_bridge():
        coroutine.close()
        raise RuntimeError("this is the bridge's own thread: await the coroutine instead")
