"""Where `%llmport fix` puts a correction: below, or by `--replace` in the cell's place."""

from __future__ import annotations

from typing import Any

import pytest
from kernels import Kernel
from loopback import Loopback, streamed
from questioning import shell

__all__ = ["shell"]
pytestmark = pytest.mark.kernel

FAILING = "prices = [1, 2]\nprint(total / len(prices))"
CORRECTED = "prices = [1, 2]\nprint(sum(prices) / len(prices))"


def test_replace_needs_a_front_end_that_can(shell: Kernel, server: Loopback) -> None:
    """`--replace` replaces the running cell if that failed itself, else puts it below."""
    shell.run(FAILING, cell_id="c1")
    server.script(streamed(CORRECTED), streamed(CORRECTED))
    elsewhere = shell.run("%llmport fix --replace", cell_id="c2")
    same = shell.run("%llmport fix --replace", cell_id="c1")

    assert "placed below, as this front end cannot replace it" in elsewhere.stdout
    assert [p["replace"] for p in elsewhere.payload] == [False]
    assert [(p["text"], p["replace"]) for p in same.payload] == [(CORRECTED, True)]


def test_our_front_end_is_asked_by_the_cells_id(shell: Kernel, server: Loopback) -> None:
    """The panel gets the failing cell's id, and with `--replace` the text that it must have."""
    opened = shell.client.session.msg(
        "comm_open", {"comm_id": "k1", "target_name": "llmport", "data": {}}
    )
    shell.client.shell_channel.send(opened)
    hello = {"v": 1, "type": "hello", "id": "h1", "cells": True}
    message = shell.client.session.msg("comm_msg", {"comm_id": "k1", "data": hello})
    shell.client.shell_channel.send(message)
    shell.run(FAILING, cell_id="c1")
    server.script(streamed(CORRECTED), streamed(CORRECTED))

    below = _placed(shell, "%llmport fix")
    place = _placed(shell, "%llmport fix --replace")

    assert (below["after"], below["rewrite"]) == ("c1", False)
    assert (place["after"], place["rewrite"], place["was"]) == ("c1", True, FAILING)
    assert place["cell"]["source"] == CORRECTED
    assert place["name"] is None


def _placed(shell: Kernel, code: str) -> dict[str, Any]:
    """Run a cell and give the message that places one."""
    request = shell.start(code, cell_id="c2")
    placed: dict[str, Any] = {}
    while True:
        message = shell.client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") != request and placed:
            continue
        content = message["content"]
        if message["msg_type"] == "comm_msg" and content["data"].get("type") == "place":
            placed = content["data"]
        ended = message["msg_type"] == "status" and content["execution_state"] == "idle"
        if ended and message["parent_header"].get("msg_id") == request:
            assert placed
            return placed
