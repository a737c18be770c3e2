"""What a panel can ask of the kernel, whatever carries the messages: a comm, or a widget.

Runs on the background loop and never touches the user's namespace: a module is stored and its
cell placed; running that cell registers it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from llmport_magic import bridge
from llmport_magic.errors import LLMPortError
from llmport_magic.progress import (
    Checked,
    Checking,
    Drafted,
    Kept,
    Left,
    ModuleRequest,
    Noted,
    PipelineEvent,
    Selected,
    Started,
    Stored,
    Text,
)
from llmport_magic.secrets import redact

if TYPE_CHECKING:
    from llmport_magic.settings import Settings

_SECONDS_BETWEEN = 0.05


class Conversation:
    """Answers a panel's requests.

    Args:
        send: takes a message for the panel; called from the background loop.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._running: dict[str, Future[None]] = {}

    def handle(self, message: dict[str, Any]) -> None:
        """Take a checked request and return at once."""
        if message["type"] == "hello":
            bridge.submit(self._introduce(message["id"]))
        elif message["type"] == "generate" and message["id"] not in self._running:
            task = bridge.submit(self._generate(message))
            self._running[message["id"]] = task
            task.add_done_callback(lambda _: self._running.pop(message["id"], None))
        elif message["type"] == "cancel":
            running = self._running.get(message["re"])
            if running is not None:
                running.cancel()

    def future(self, request: str) -> Future[None] | None:
        """Give the future of a request that still runs."""
        return self._running.get(request)

    def close(self) -> None:
        """Stop everything that runs."""
        for running in list(self._running.values()):
            running.cancel()

    async def _introduce(self, request: str) -> None:
        try:
            self._send({"type": "ready", "re": request, **await asyncio.to_thread(standing)})
        except LLMPortError as error:
            self._fail(request, error)
        except Exception as error:  # a panel that waits for ever helps nobody
            self._fail(request, error)
            raise

    async def _generate(self, message: dict[str, Any]) -> None:
        from llmport_magic.pipeline import write
        from llmport_magic.session import session

        request = message["id"]
        told: _Told | None = None
        try:
            asked = _as_request(message)
            told = _Told(message, asked.settings, self._send)
            try:
                async with aclosing(write(asked, session())) as events:
                    async for event in events:
                        told.tell(event)
            finally:
                told.flush()
        except asyncio.CancelledError:
            if told is None or not told.stop():
                self._send({"type": "cancelled", "re": request})
            raise
        except LLMPortError as error:
            self._fail(request, error)
        except Exception as error:  # a panel that waits for ever helps nobody
            self._fail(request, error)
            raise

    def _fail(self, request: str, error: Exception) -> None:
        text = redact(str(error)) or type(error).__name__
        self._send({"type": "failed", "re": request, "message": text, "kind": type(error).__name__})


class _Told:
    """Turns what the pipeline tells into messages; text goes out in beats."""

    def __init__(
        self,
        message: dict[str, Any],
        settings: Settings,
        send: Callable[[dict[str, Any]], None],
    ) -> None:
        self._request = message["id"]
        self._message = message
        self._settings = settings
        self._post = send
        self._held = ""
        self._sent_at = 0.0
        self._due: asyncio.TimerHandle | None = None
        self._kept: Stored | None = None

    def _send(self, kind: str, **fields: Any) -> None:
        self._post({"type": kind, "re": self._request, **fields})

    def tell(self, event: PipelineEvent) -> None:
        """Tell one event."""
        if isinstance(event, Text):
            self._held += event.text
            wait = self._sent_at + _SECONDS_BETWEEN - time.monotonic()
            if wait <= 0:
                self.flush()
            elif self._due is None:
                self._due = asyncio.get_running_loop().call_later(wait, self.flush)
            return
        self.flush()
        if isinstance(event, Started):
            asked = {"provider": event.provider, "model": redact(event.model)}
            self._send("started", **asked, attempt=event.attempt)
        elif isinstance(event, (Checking, Kept, Noted)):
            self._note(event)
        elif isinstance(event, Checked):
            text = event.verdict.line()
            if event.verdict.proof == "failed" and event.verdict.findings:
                text = event.verdict.findings[0]
            self._send("verdict", text=redact(text), ok=event.verdict.proof != "failed")
        elif isinstance(event, (Stored, Selected, Drafted, Left)):
            self._kept = None
            self._end(event)

    def _note(self, event: Checking | Kept | Noted) -> None:
        from llmport_magic.notebook.display import RECALLING

        text = event.text if isinstance(event, Noted) else "checking …"
        if isinstance(event, Kept):
            self._kept, text = event.stored, RECALLING
        self._send("note", text=text)

    def stop(self) -> bool:
        """End with the version that is stored by now; tells whether there is one."""
        kept, self._kept = self._kept, None
        if kept is not None:
            from llmport_magic.notebook.display import NOT_ALL_RUN

            self._end(kept, f" · {NOT_ALL_RUN}")
        return kept is not None

    def flush(self) -> None:
        """Send the text that a beat kept back."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._held:
            self._send("chunk", text=self._held)
            self._held, self._sent_at = "", time.monotonic()

    def _end(self, event: Stored | Selected | Drafted | Left, more: str = "") -> None:
        from llmport_magic.notebook.cells import module_cell
        from llmport_magic.notebook.comm import cell_message
        from llmport_magic.notebook.display import READ_FIRST
        from llmport_magic.registration import needs_consent

        after = self._message["cell_id"]
        name = self._message["name"] or None
        if isinstance(event, Left):
            self._send("done", summary=event.text, version=None, usage=None, seconds=None)
            return
        if isinstance(event, Drafted):
            cell = cell_message(event.source, name=None, base=None, after=after)
            summary = f"code · {event.verdict.line(asks=READ_FIRST)}"
            version: str | None = None
        else:
            # A stored version that nobody has allowed yet is held back as a new one is.
            hold = needs_consent(event.version, self._settings)
            text = module_cell(event.version, hold=hold)
            cell = cell_message(text, name=name, base=event.version.id, after=after)
            number = event.version.number
            proof = event.verdict.line(allowed=not hold) if event.verdict else ""
            reused = " · reused, 0 tokens" if isinstance(event, Selected) else ""
            summary = f"{name} v{number}{reused} · {proof}{more} · run the cell to register it"
            version = event.version.id
        self._send("place", id=self._request + ".cell", **cell)
        spent = event.spent if isinstance(event, (Stored, Drafted)) else None
        if spent and spent.cached == spent.attempts:
            summary = f"{summary} · cached"
        self._send(
            "done",
            summary=redact(summary),
            version=version,
            usage={
                "prompt_tokens": spent.prompt_tokens,
                "completion_tokens": spent.completion_tokens,
            }
            if spent
            else None,
            seconds=round(spent.seconds, 2) if spent else None,
        )


def _as_request(message: dict[str, Any]) -> ModuleRequest:
    from llmport_magic.settings import resolve

    named = {key: message[key] for key in ("provider", "model") if message[key]}
    return ModuleRequest(
        name=message["name"] or None,
        prompt=message["prompt"].strip("\r\n"),
        settings=resolve(**named),
        options=named,
        update=message["update"],
        cell_id=message["cell_id"],
    )


def standing() -> dict[str, Any]:
    """Say who would answer, what else could, and which modules there are."""
    from llmport_magic.llm.registry import provider_rows
    from llmport_magic.llm.standing import standing as who_answers
    from llmport_magic.session import session
    from llmport_magic.settings import resolve

    settings = resolve()
    found = who_answers(settings)
    return {
        "version": _version(),
        "provider": found.provider,
        "model": found.model or None,
        "why": found.why,
        "missing": found.missing,
        "fallback": list(found.fallback),
        "notes": list(found.notes),
        "providers": [
            {
                "name": row.name,
                "models": row.offered,
                "model": row.model or None,
                "available": row.available,
                "hint": row.hint,
            }
            for row in provider_rows()
        ],
        "modules": list(session().store(settings).names()),
    }


def _version() -> str:
    import llmport_magic

    return str(llmport_magic.__version__)
