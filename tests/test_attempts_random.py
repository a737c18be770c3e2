"""Answers of every kind in every order: a budget is never passed, a failed one never registered."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from awaiting import PATIENCE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import GOOD, PROMPT, fenced, scripted
from test_kernel import journal

from llmport_magic.errors import LLMError, LLMOutputError, VerificationError
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.registry import PROVIDER_CONFIG
from llmport_magic.pipeline import write
from llmport_magic.progress import ModuleRequest, Stored
from llmport_magic.session import Session
from llmport_magic.settings import resolve

KINDS = {
    "good": fenced(GOOD),
    "no import": fenced("def area(radius):\n    return math.pi * radius**2\n"),
    "other value": fenced("def area(radius):\n    return 12.5\n"),
    "other program": fenced("def area(radius):\n    return 25 / 2\n"),
    "raises": fenced("def area(radius):\n    raise ValueError(radius)\n"),
    "no name": fenced("def volume(radius):\n    return radius\n"),
    "syntax": fenced("def area(radius:\n    return\n"),
    "refused": fenced(
        "import os\n\nos.kill(os.getppid(), 9)\n\n\ndef area(radius):\n    return 1\n"
    ),
    "rambling": "I would rather talk about the weather.",
    "empty": "",
    "comments": "# nothing\n",
    "down": LLMError("the provider is down"),
}
RIGHT = {"good", "no import"}
ENDS = ("stopped after", "is the example right?", "was refused and not run", "the provider is down")


def run(kinds, size, tries, folder):
    """Play the answers; give how the run ended, and what was asked."""
    answers = [KINDS[kind] for kind in kinds] + ["This is beyond the script."] * 9
    price = {"input_cost_per_1k_tokens": 1.0, "output_cost_per_1k_tokens": 2.0}
    # The log's pages are written a little later: closed, it is not while the folder is removed.
    with scripted(*answers) as script, closing(Session()) as session:
        connector = PROVIDER_CONFIG["scripted"]["connector"]
        connector.capabilities = LLMCapabilities(size=size, **price)
        patient = {"sandbox_seconds": PATIENCE}
        found = resolve(provider="scripted", module_dir=str(folder), tries=tries, **patient)
        request = ModuleRequest(name="circle", prompt=PROMPT, settings=found)
        return asyncio.run(_ended(request, session)), script.calls


async def _ended(request, session):
    try:
        events = [event async for event in write(request, session)]
    except (VerificationError, LLMError) as error:
        return error
    return events[-1]


@pytest.mark.parametrize("size", ["small", "large"])
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5),
    tries=st.integers(1, 5),
)
def test_any_answers_in_any_order(size, kinds, tries):
    """Whatever comes, the run keeps to its tries and ends in one of the stated ways (S0-26)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        end, calls = run(kinds, size, tries, folder)
        lines = [line for line in journal(folder) if line["kind"] != "PART"]
        data = [(line["kind"], line["body"]["data"]) for line in lines]
        stored = [path for path in (folder / ".llmport" / "modules").rglob("*") if path.is_file()]
        written = stored + list(folder.glob("*.py"))
    asked = [body for kind, body in data if kind == "PROMPT"]
    answers = [body for kind, body in data if kind == "RESPONSE" and body["status"] == "complete"]
    checks = [body for kind, body in data if kind == "VERIFY"]

    assert 1 <= calls == len(asked) <= tries
    order = [kind for kind, _ in data if kind in {"PROMPT", "RESPONSE"}]
    assert order == ["PROMPT", "RESPONSE"] * calls
    assert [body["attempt"] for body in asked] == list(range(1, calls + 1))
    assert len(checks) == len(answers)
    if isinstance(end, Stored):
        assert kinds[calls - 1] in RIGHT
        assert end.verdict.proof == "passed"
        assert stored
        assert end.spent.attempts == calls == len(answers)
        assert end.spent.cost == pytest.approx(sum(body["cost"] for body in answers))
        tokens = sum(body["usage"]["completion_tokens"] for body in answers)
        assert end.spent.completion_tokens == tokens
    else:
        assert not RIGHT & set(kinds[:calls])
        assert not written
        told = str(end)
        gave_nothing = isinstance(end, LLMOutputError) and size == "large"
        assert gave_nothing or any(words in told for words in ENDS), told
        assert "\n" not in told
