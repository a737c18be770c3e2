"""The panel as an ipywidget, for front ends that have no side panel of ours."""

from __future__ import annotations

import uuid
from typing import Any

import ipywidgets

from llmport_magic import bridge
from llmport_magic.notebook.conversation import Conversation


class Panel(ipywidgets.VBox):
    """A prompt box, `Send`, `Stop` and the answer as it streams; the same controller as the panel.

    The module is stored; its cell's text is shown for the user to paste and run.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._name = ipywidgets.Text(placeholder="module name", description="Name")
        self._prompt = ipywidgets.Textarea(
            placeholder="what the module should do", description="Prompt", rows=5
        )
        self._update = ipywidgets.Checkbox(description="Update")
        self._send_button = ipywidgets.Button(description="Send", button_style="primary")
        self._stop_button = ipywidgets.Button(description="Stop", disabled=True)
        self._status = ipywidgets.Label()
        self._answer = ipywidgets.Textarea(description="Answer", disabled=True, rows=12)
        self._running: str | None = None
        self._conversation = Conversation(self._receive)
        self._send_button.on_click(self._on_send)
        self._stop_button.on_click(self._on_stop)
        buttons = ipywidgets.HBox([self._send_button, self._stop_button, self._update])
        super().__init__([self._name, self._prompt, buttons, self._status, self._answer])

    def _on_send(self, _: Any) -> None:
        self._running = uuid.uuid4().hex
        self._answer.value = ""
        self._busy(busy=True)
        self._conversation.handle(
            {
                "type": "generate",
                "id": self._running,
                "name": self._name.value.strip() or None,
                "prompt": self._prompt.value,
                "provider": None,
                "model": None,
                "update": self._update.value,
                "cell_id": None,
            }
        )

    def _on_stop(self, _: Any) -> None:
        if self._running:
            self._conversation.handle({"type": "cancel", "id": "stop", "re": self._running})

    def _receive(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "started":
            self._answer.value = ""
            self._status.value = f"{message['provider']} {message['model']}"
        elif kind == "chunk":
            self._answer.value += message["text"]
        elif kind in {"note", "verdict"}:
            self._status.value = message["text"]
        elif kind == "place":
            self._answer.value = message["cell"]["source"]
        elif kind in {"done", "failed", "cancelled"}:
            self._status.value = message.get("summary") or message.get("message") or "stopped"
            self._busy(busy=False)

    def _busy(self, *, busy: bool) -> None:
        self._send_button.disabled = busy
        self._stop_button.disabled = not busy

    def wait(self, seconds: float = 60.0) -> None:
        """Block until what was sent has ended: for scripts and tests."""
        running = self._conversation.future(self._running or "")
        if running is not None and not bridge.on_bridge():
            from concurrent.futures import wait

            wait([running], timeout=seconds)


def panel(shell: Any) -> Panel:
    """Make a panel for a shell."""
    return Panel(shell)
