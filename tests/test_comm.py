"""The comm handler and the widget, without a server: the same road as the magic."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from awaiting import PATIENCE
from loopback import HANG, Loopback, streamed
from scripted import GOOD, HELD, PROMPT, Script, fenced, scripted

from llmport_magic import session as sessions
from llmport_magic.llm.mock import MockConnector
from llmport_magic.llm.registry import default_registry, register_provider
from llmport_magic.notebook import comm
from llmport_magic.notebook.widget import Panel
from llmport_magic.settings import configure


class FakeComm:
    """The kernel's end of a comm; the test plays the front end."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.arrived = threading.Condition()
        self.handler: Callable[[Any], None] = lambda _: None
        self.answers_placing = True

    def on_msg(self, handler: Callable[[Any], None]) -> None:
        """Keep the kernel's handler."""
        self.handler = handler

    def on_close(self, handler: Callable[[Any], None]) -> None:
        """Nobody closes it."""

    def close(self) -> None:
        """Nothing to close."""

    def send(self, data: dict[str, Any]) -> None:
        """Note what the kernel sends."""
        with self.arrived:
            self.sent.append(data)
            self.arrived.notify_all()
        if data["type"] == "place" and self.answers_placing:
            answer = {"v": 1, "type": "placed", "re": data["id"], "ok": True}
            threading.Thread(target=self.say, args=(answer,)).start()

    @property
    def text(self) -> str:
        """What the panel shows of the answer."""
        return "".join(message["text"] for message in self.sent if message["type"] == "chunk")

    def say(self, data: Any) -> None:
        """Send a message as the front end."""
        self.handler({"content": {"data": data}})

    def wait_for(self, kind: str, seconds: float = 60, **fields: Any) -> dict[str, Any]:
        """Wait until the kernel has sent a message of this kind, with these fields."""
        end = time.monotonic() + seconds
        with self.arrived:
            while True:
                for message in self.sent:
                    if message["type"] == kind and fields.items() <= message.items():
                        return message
                left = end - time.monotonic()
                assert left > 0, f"no `{kind}` came; there were {self.sent}"
                self.arrived.wait(left)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder of its own, with a fresh session."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMPORT_SANDBOX_SECONDS", str(PATIENCE))
    sessions.close_session()
    yield tmp_path
    sessions.close_session()


@pytest.fixture
def script(folder: Path) -> Iterator[Script]:
    """Let the provider answer with a good module."""
    with scripted(fenced(GOOD)) as running:
        configure(provider="scripted")
        yield running


def generate(**changes: Any) -> dict[str, Any]:
    """Give a `generate` message."""
    message = {
        "v": 1,
        "type": "generate",
        "id": "g1",
        "name": "circle",
        "prompt": PROMPT,
        "provider": None,
        "model": None,
        "update": False,
        "cell_id": "c1",
    }
    return {**message, **changes}


def test_the_panel_takes_the_road_of_the_magic(folder: Path, script: Script) -> None:
    """A panel's prompt stores the same version, places its cell and registers nothing (S0-42)."""
    import sys

    front = FakeComm()
    comm.Link(front)
    front.say(generate())
    done = front.wait_for("done")
    kinds = [message["type"] for message in front.sent]
    assert kinds[0] == "ack"
    assert kinds.index("started") < kinds.index("chunk") < kinds.index("verdict")
    placed = front.wait_for("place")
    assert placed["after"] == "c1"
    assert placed["cell"]["source"].startswith(
        f"%%llmport_module circle --base {done['version']}\n"
    )
    assert front.text == fenced(GOOD)
    assert "circle" not in sys.modules
    assert not (folder / "circle.py").exists()
    front.say(generate(id="g2"))
    time.sleep(0.1)
    assert script.calls == 1


def test_what_waits_for_consent_is_placed_held_each_time(folder: Path, script: Script) -> None:
    """Asked again, the panel places the stored version held as well: nobody allowed it (S0-43)."""
    script.answers[:] = [fenced(HELD)]
    front = FakeComm()
    comm.Link(front)
    for number in ("g1", "g2"):
        front.sent.clear()
        front.say(generate(id=number, prompt="Area without examples."))
        done = front.wait_for("done")
        first = front.wait_for("place")["cell"]["source"].partition("\n")[0]

        assert first.endswith(" --hold")
        assert "needs your consent" in done["summary"]
    assert script.calls == 1


def test_the_panel_is_told_who_answers_instead(folder: Path, script: Script) -> None:
    """Where `fallback` is set, the panel hears who failed and sees who is asked then (S3-05)."""
    script.answers.insert(0, ConnectionError("down"))
    configure(fallback=["second"])
    register_provider("second", connector=MockConnector([fenced(GOOD)], model="s2"), replace=True)
    front = FakeComm()
    comm.Link(front)
    front.say(generate())
    front.wait_for("done")

    started = [(m["provider"], m["model"]) for m in front.sent if m["type"] == "started"]
    assert started == [("scripted", "s1"), ("second", "s2")]
    notes = [message["text"] for message in front.sent if message["type"] == "note"]
    assert "scripted failed (ConnectionError: down): second is asked" in notes
    default_registry().unregister_provider("second")


def test_a_failure_is_told_in_one_line(folder: Path, script: Script) -> None:
    """What fails on the road reaches the panel as `failed` with its kind."""
    front = FakeComm()
    comm.Link(front)
    front.say(generate(name="json"))
    failed = front.wait_for("failed")
    assert failed["kind"] == "ModuleNameError"
    assert "\n" not in failed["message"]
    assert script.calls == 0


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        "generate",
        {"v": 2, "type": "hello", "id": "h", "cells": True},
        {"v": 1, "type": "register", "id": "r", "name": "circle"},
        {"v": 1, "type": "generate", "id": "g"},
        generate(prompt=3),
        generate(prompt="x" * 400_000),
    ],
)
def test_a_bad_message_is_dropped_and_counted(bad: Any, folder: Path, script: Script) -> None:
    """Messages of the wrong shape, size or version do nothing."""
    front = FakeComm()
    link = comm.Link(front)
    front.say(bad)
    assert link.dropped == 1
    assert front.sent == []
    assert script.calls == 0


def test_a_message_cannot_set_a_url_or_a_key() -> None:
    """Fields that the protocol does not know are taken off before anybody reads them."""
    checked = comm.check_message(generate(base_url="http://evil", api_key="k", module_dir="/"))
    assert checked is not None
    assert not {"base_url", "api_key", "module_dir"} & set(checked)


def test_a_flood_is_bounded(folder: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many messages in a second most are dropped and counted."""
    monkeypatch.setattr(comm, "time", SimpleNamespace(monotonic=lambda: 1.0))
    front = FakeComm()
    link = comm.Link(front)
    for number in range(1000):
        front.say({"v": 1, "type": "cancel", "id": f"c{number}", "re": "nothing"})
    assert link.dropped == 950


def test_no_piece_waits_for_the_next(folder: Path) -> None:
    """Where a model falls silent, the panel has all that it said before (S3-60)."""
    front = FakeComm()
    comm.Link(front)
    with Loopback() as server:
        server.always(streamed("one ", "two ", "three", HANG))
        configure(provider="local", base_url=server.url, model="m")
        front.say(generate())
        with front.arrived:
            while front.text != "one two three":
                assert front.arrived.wait(60)
        front.say({"v": 1, "type": "cancel", "id": "c1", "re": "g1"})
        front.wait_for("cancelled")


def test_placing_waits_for_the_front_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell is placed when the front end says so; a silent one is waited for once, until heard."""
    front = FakeComm()
    link = comm.Link(front)
    link.hears_while_busy = link.places_cells = True
    cell = comm.cell_message("x = 1", name="circle", base="ab", after="c1")
    monkeypatch.setattr(comm, "_PLACE_SECONDS", PATIENCE)
    assert link.place(cell)
    monkeypatch.setattr(comm, "_PLACE_SECONDS", 0.05)
    front.answers_placing = False
    assert not link.place(cell)
    assert not link.places_cells
    front.say({"v": 1, "type": "placed", "re": front.sent[-1]["id"], "ok": True})
    assert link.places_cells


def test_the_widget_takes_the_same_road(folder: Path, script: Script) -> None:
    """The ipywidgets panel shows the answer, then the cell to run (S0-42)."""
    panel = Panel(None)
    panel._name.value = "circle"
    panel._prompt.value = PROMPT
    panel._send_button.click()
    panel.wait()
    assert panel._answer.value.startswith("%%llmport_module circle --base ")
    assert "circle v1" in panel._status.value
    assert not panel._send_button.disabled
