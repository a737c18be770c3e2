"""Approving a tool on the keyboard of a real kernel."""

from __future__ import annotations

import queue
import time
from pathlib import Path

import pytest
from kernels import Kernel, kernel

pytestmark = pytest.mark.kernel

_AGENT = """
import llmport_magic
from llmport_magic.llm import (
    CognitiveAgent, CognitiveConfig, LLMResponse, MockConnector, ToolCall,
)
from llmport_magic.llm.agent import ask_user

def double(x: int) -> int:
    acted.append(x)
    return 2 * x

acted = []
asks = LLMResponse(tool_calls=[ToolCall(name="double", id="c1", arguments={"x": 21})])
llm = MockConnector([asks, lambda messages: messages[-1].content] * 2)
agent = CognitiveAgent(llm=llm, tools=[double], config=CognitiveConfig(approve=ask_user))
"""


def _typed(running: Kernel, code: str, answer: str) -> tuple[str, str]:
    """Run a cell, type an answer when it asks; give the question and what the cell printed."""
    request = running.client.execute(code, allow_stdin=True)
    question, printed, end = "", "", time.monotonic() + 60
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


@pytest.mark.parametrize("way", ["await agent.run('Go.')", "llmport_magic.run(agent.run('Go.'))"])
def test_a_cell_asks_before_a_tool_acts(tmp_path: Path, way: str) -> None:
    """`ask_user` asks in the notebook, awaited and not, and its answer decides (S4-15, S4-06)."""
    with kernel(tmp_path, load=False) as running:
        running.run(_AGENT)

        question, refused = _typed(running, f"print({way}, acted)", "n")
        _, allowed = _typed(running, f"print({way}, acted)", "y")

    assert question == 'Call "double" with {"x": 21}? [y/N] '
    assert refused == "error: the user did not allow this call []\n"
    assert allowed == "42 [21]\n"


def test_where_nobody_can_type_nothing_acts(tmp_path: Path) -> None:
    """Without a keyboard the cell fails, and no tool has acted (S4-15)."""
    with kernel(tmp_path, load=False) as running:
        running.run(_AGENT)
        outcome = running.run("await agent.run('Go.')")

        assert outcome.name == "StdinNotImplementedError"
        assert running.value("acted") == "[]"
