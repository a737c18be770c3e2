"""What `docs/tools.md` shows runs as it stands there."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from acting import asks, call

from llmport_magic.llm import MockConnector

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tools.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


async def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The blocks run one after the other in one namespace, and do what the page says."""
    asked = asks(call("temperature", city="Ulm"))
    scope: dict[str, Any] = {"llm": MockConnector([asked, "21 degrees.", asked, "Still 21."])}
    blocks = _BLOCK.findall(PAGE.read_text("utf-8"))

    for block in blocks:
        code = compile(block, str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        outcome = eval(code, scope)
        if inspect.isawaitable(outcome):
            await outcome

    assert len(blocks) == 3
    assert scope["response"].content == "21 degrees."
    assert scope["messages"][-1].content == "21 celsius in Ulm"
    assert scope["result"].steps[0].result == "21 celsius in Ulm"
    assert capsys.readouterr().out == "Still 21.\n"
