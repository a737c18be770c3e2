"""The comm between the JupyterLab panel and the kernel: checked messages, pinned context.

A comm is untrusted input: any script of the page can send on it. The most that a message can do
is spend a model call within the user's settings and store a version. It never registers, names a
path, a URL or a key, or changes a setting.
"""

from __future__ import annotations

import contextvars
import threading
import time
import uuid
from collections import deque
from typing import Any

TARGET = "llmport"
PROTOCOL = 1
_LONGEST_MESSAGE = 300_000
_MOST_PER_SECOND = 50
_PLACE_SECONDS = 10.0

_REQUESTS: dict[str, dict[str, tuple[type, ...]]] = {
    "hello": {"id": (str,), "cells": (bool,)},
    "generate": {
        "id": (str,),
        "name": (str, type(None)),
        "prompt": (str,),
        "provider": (str, type(None)),
        "model": (str, type(None)),
        "update": (bool,),
        "cell_id": (str, type(None)),
    },
    "cancel": {"id": (str,), "re": (str,)},
    "placed": {"re": (str,), "ok": (bool,)},
}


def check_message(data: Any) -> dict[str, Any] | None:
    """Give a message reduced to the fields that the protocol knows, or `None` for a bad one."""
    if not isinstance(data, dict) or data.get("v") != PROTOCOL:
        return None
    fields = _REQUESTS.get(data.get("type", ""))
    if fields is None or any(
        not isinstance(data.get(name), kinds) for name, kinds in fields.items()
    ):
        return None
    if sum(len(value) for value in data.values() if isinstance(value, str)) > _LONGEST_MESSAGE:
        return None
    return {"type": data["type"], **{name: data[name] for name in fields}}


class Link:
    """One open comm.

    Args:
        comm: the kernel's end of it.
    """

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        # ipykernel 7.4 routes a front end's messages to the shell that last sent on the comm.
        # Sending in a copy of the context in which the comm was opened keeps it on its subshell,
        # so that `cancel` is heard while a cell runs.
        self._context = contextvars.copy_context()
        self._arrivals: deque[float] = deque(maxlen=_MOST_PER_SECOND)
        self._waiting: dict[str, threading.Event] = {}
        self._placed: dict[str, bool] = {}
        from llmport_magic.notebook.conversation import Conversation

        self._conversation = Conversation(self.send)
        self.dropped = 0
        self.places_cells = False
        self.hears_while_busy = threading.current_thread() is not threading.main_thread()
        comm.on_msg(self._on_message)
        comm.on_close(self._on_close)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; may be called from any thread."""
        payload = {"v": PROTOCOL, **message}
        self._context.copy().run(self._comm.send, payload)

    def place(self, cell: dict[str, Any]) -> bool:
        """Ask the front end to put a cell; tells whether it did."""
        request = uuid.uuid4().hex
        answered = self._waiting[request] = threading.Event()
        self.send({"type": "place", "id": request, "re": None, **cell})
        if not self.hears_while_busy:
            # The answer can only arrive after this cell: a second cell would be worse than none.
            self._waiting.pop(request, None)
            return True
        if not answered.wait(_PLACE_SECONDS):
            # The page is gone or stands still: no other cell waits for it until it is heard again.
            self.places_cells = False
        self._waiting.pop(request, None)
        return self._placed.pop(request, False)

    def close(self) -> None:
        """Stop what runs and close the comm."""
        self._conversation.close()
        self._context.copy().run(self._comm.close)

    def _on_close(self, _: Any) -> None:
        self._conversation.close()
        if self in _links:
            _links.remove(self)

    def _on_message(self, raw: Any) -> None:
        # Returns at once: a handler that waits would keep the next message, such as `cancel`, out.
        message = check_message(raw.get("content", {}).get("data") if isinstance(raw, dict) else 0)
        now = time.monotonic()
        full = len(self._arrivals) == _MOST_PER_SECOND and now - self._arrivals[0] < 1.0
        self._arrivals.append(now)
        if message is None or full:
            self.dropped += 1
            return
        if message["type"] == "placed":
            self.places_cells = True
            if message["re"] in self._waiting:
                self._placed[message["re"]] = message["ok"]
                self._waiting[message["re"]].set()
            return
        self.send({"type": "ack", "re": message["id"]})
        if message["type"] == "hello":
            self.places_cells = message["cells"]
            self.hears_while_busy = threading.current_thread() is not threading.main_thread()
        self._conversation.handle(message)


_links: list[Link] = []


def install(shell: Any) -> None:
    """Listen for the panel, where the shell has a kernel."""
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        kernel.comm_manager.register_target(TARGET, _opened)


def uninstall(shell: Any) -> None:
    """Close every link and stop listening."""
    kernel = getattr(shell, "kernel", None)
    if kernel is not None and TARGET in kernel.comm_manager.targets:
        kernel.comm_manager.unregister_target(TARGET, _opened)
    while _links:
        _links.pop().close()


def _opened(comm: Any, _: Any) -> None:
    _links.append(Link(comm))


def place(
    source: str,
    *,
    name: str | None,
    base: str | None,
    after: str | None,
    rewrite: bool,
    was: str | None = None,
) -> bool:
    """Ask the newest front end that places cells to place one; tells whether it did.

    Args:
        source: the cell's text.
        name: the module that the cell stands for, `None` for a plain cell.
        base: the version's id.
        after: the id of the prompt cell, or with `rewrite` of the cell itself.
        rewrite: replace the text of the cell `after` instead of placing one below it.
        was: the text that a plain cell must still have to be replaced.
    """
    link = next((link for link in reversed(_links) if link.places_cells), None)
    if link is None or (after is None and rewrite):
        return False
    message = cell_message(source, name=name, base=base, after=after, rewrite=rewrite)
    return link.place(message if was is None else {**message, "was": was})


def cell_message(
    source: str, *, name: str | None, base: str | None, after: str | None, rewrite: bool = False
) -> dict[str, Any]:
    """Give the fields of a `place` message."""
    metadata = {"llmport": {"name": name, "base": base}} if name else {}
    return {
        "after": after,
        "cell": {"source": source, "metadata": metadata},
        "name": name,
        "base": base,
        "rewrite": rewrite,
    }
