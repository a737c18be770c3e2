"""Approving a tool on the keyboard of a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernels import kernel, typed

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


@pytest.mark.parametrize("way", ["await agent.run('Go.')", "llmport_magic.run(agent.run('Go.'))"])
def test_a_cell_asks_before_a_tool_acts(tmp_path: Path, way: str) -> None:
    """`ask_user` asks in the notebook, awaited and not, and its answer decides (S4-15, S4-06)."""
    with kernel(tmp_path, load=False) as running:
        running.run(_AGENT)

        question, refused = typed(running, f"print({way}, acted)", "n")
        _, allowed = typed(running, f"print({way}, acted)", "y")

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
