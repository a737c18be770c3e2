"""A real kernel in a folder of its own, driven as a front end drives it."""

from __future__ import annotations

import os
import queue
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from awaiting import PATIENCE
from jupyter_client.manager import KernelManager

# A slow disk is not given up.
_PATIENT = f"__import__('llmport_magic.log.journal', fromlist=['x'])._SLOW = {PATIENCE}"


@dataclass
class Outcome:
    """What running one cell gave."""

    status: str = ""
    stdout: str = ""
    stderr: str = ""
    displays: dict[str, list[str]] = field(default_factory=dict)
    result: str = ""
    error: str = ""
    name: str = ""
    payload: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def shown(self) -> str:
        """What stands below the cell at the end."""
        finals = [updates[-1] for updates in self.displays.values()]
        return "\n".join([self.stdout, *finals, self.result, self.error])

    @property
    def next_cell(self) -> str:
        """The text of the cell that the kernel asks the front end to insert."""
        texts = [p["text"] for p in self.payload if p.get("source") == "set_next_input"]
        return texts[-1] if texts else ""


class Kernel:
    """A running kernel with the extension loaded."""

    def __init__(self, manager: KernelManager, client: Any, folder: Path) -> None:
        self.manager = manager
        self.client = client
        self.folder = folder

    def start(self, code: str, cell_id: str | None = None) -> str:
        """Send a cell and return at once; gives the message's id."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        message = self.client.session.msg("execute_request", content)
        message["metadata"] = {"cellId": cell_id} if cell_id else {}
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def wait_until_shown(self, text: str) -> None:
        """Wait until a display of the running cell has this text."""
        shown = ""
        while text not in shown:
            content = self.client.get_iopub_msg(timeout=PATIENCE)["content"]
            shown = content.get("data", {}).get("text/plain", "")

    def finish(self, request: str, timeout: float = PATIENCE) -> Outcome:
        """Collect a cell's output until it is done."""
        outcome, begun = Outcome(), time.monotonic()
        while True:
            message = self.client.get_iopub_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            _collect(outcome, kind, content)
        while True:
            reply = self.client.get_shell_msg(timeout=timeout)
            if reply["parent_header"].get("msg_id") == request:
                break
        outcome.status = reply["content"]["status"]
        outcome.payload = reply["content"].get("payload", [])
        outcome.seconds = time.monotonic() - begun
        return outcome

    def run(self, code: str, cell_id: str | None = None, timeout: float = PATIENCE) -> Outcome:
        """Run a cell to its end."""
        return self.finish(self.start(code, cell_id), timeout)

    def value(self, expression: str) -> str:
        """Give the repr of an expression in the user's namespace."""
        outcome = self.run(f"print(repr(({expression})))")
        assert outcome.status == "ok", outcome.error
        return outcome.stdout.strip()

    def interrupt(self) -> None:
        """Press the stop button."""
        self.manager.interrupt_kernel()

    def restart(self) -> None:
        """Restart the kernel and load the extension again."""
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=PATIENCE)
        self.load()

    def load(self) -> None:
        """Load the extension, which says nothing, and let it wait as long as the tests do."""
        loaded = self.run("%load_ext llmport_magic")
        assert loaded.status == "ok", loaded.error
        assert loaded.shown.strip() == ""
        # Silent: it is neither counted nor in the history.
        self.client.execute(_PATIENT, silent=True)


def _collect(outcome: Outcome, kind: str, content: dict[str, Any]) -> None:
    if kind == "stream":
        if content["name"] == "stdout":
            outcome.stdout += content["text"]
        else:
            outcome.stderr += content["text"]
    elif kind in {"display_data", "update_display_data"}:
        key = content.get("transient", {}).get("display_id", "")
        outcome.displays.setdefault(key, []).append(content["data"].get("text/plain", ""))
    elif kind == "execute_result":
        outcome.result = content["data"].get("text/plain", "")
    elif kind == "error":
        outcome.error = "\n".join(content["traceback"])
        outcome.name = content["ename"]


def typed(running: Kernel, code: str, answer: str) -> tuple[str, str]:
    """Run a cell, type an answer when it asks; give the question and what the cell printed."""
    request = running.client.execute(code, allow_stdin=True)
    question, printed, end = "", "", time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            question = running.client.get_stdin_msg(timeout=0.05)["content"]["prompt"]
            running.client.input(answer)
        except queue.Empty:
            pass
        try:
            message = running.client.get_iopub_msg(timeout=0.05)
        except queue.Empty:
            continue
        if message["parent_header"].get("msg_id") != request:
            continue
        content = message["content"]
        printed += content.get("text", "") + content.get("evalue", "")
        if content.get("execution_state") == "idle":
            return question, printed
    raise AssertionError(f"the cell did not end: {question!r} {printed!r}")


def private_manager(**options: Any) -> KernelManager:
    """Make the manager of a kernel that nobody else's connection can keep from starting.

    A port is free when the manager asks for it, and may be another test's when the kernel binds
    it; the name of a socket's file is nobody else's. Windows has ports only.
    """
    if sys.platform == "win32":
        return KernelManager(**options)
    place = Path(tempfile.gettempdir()) / f"kernel-{uuid.uuid4().hex}"
    return KernelManager(transport="ipc", ip=str(place), **options)


@contextmanager
def kernel(folder: Path, *, load: bool = True, **environment: str) -> Iterator[Kernel]:
    """Start a kernel whose working directory is `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "LLMPORT_SANDBOX_SECONDS": str(PATIENCE), **environment}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    tests = str(Path(__file__).parent)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [tests, env.get("PYTHONPATH", "")]))
    manager = private_manager(kernel_name="python3")
    manager.start_kernel(cwd=str(folder), env=env)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        running = Kernel(manager, client, folder)
        if load:
            running.load()
        yield running
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
