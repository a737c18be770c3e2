"""The examples about specifications out of the document they were made for, as they are written.

Only the imports are ours, and the addresses lead to servers on this machine.
"""

# ruff: noqa: T201 - the document prints

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drafts import GOOD, WRONG_SHAPE, good
from loopback import Loopback, failure
from vendors import AnthropicMessages, OpenAIChat

from llmport_magic.errors import LLMError
from llmport_magic.gmn import parse
from llmport_magic.llm import LLMProviderFactory, create_llm_factory
from llmport_magic.llm.registry import default_registry

PAGE = Path(__file__).resolve().parents[1] / "docs" / "gmn-generation.md"
KEY = "planted-key-0123456789abcdef"
FORMATS: dict[str, Any] = {"openai": OpenAIChat(), "anthropic": AnthropicMessages()}

pytestmark = [
    pytest.mark.usefixtures("own_registry"),
    pytest.mark.filterwarnings("ignore:.* of .*:DeprecationWarning"),
]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, own_registry: None) -> Iterator[dict[str, Loopback]]:
    """Serve as OpenAI and Anthropic, with their keys in the environment."""
    with Loopback() as openai, Loopback() as anthropic:
        running = {"openai": openai, "anthropic": anthropic}
        registry = default_registry()
        for name, server in running.items():
            root = server.url.removesuffix("/v1") + FORMATS[name].root
            registry.register_provider(
                replace(registry.provider(name), base_url=root), replace=True
            )
            server.always(FORMATS[name].whole(f"```gmn\n{GOOD}```"))
            monkeypatch.setenv(f"{name.upper()}_API_KEY", KEY)
        yield running


async def test_our_own_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks of our page run one after the other, and print what it says (X-06)."""
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    blocks = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    for block in blocks:
        code = compile(block, str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        outcome = eval(code, scope)
        if inspect.isawaitable(outcome):
            await outcome

    said = capsys.readouterr().out
    assert len(blocks) == 4
    assert said.startswith("agent cautious_explorer {")
    assert "+node state memory {" in said
    assert said.splitlines()[-3:] == ["True []", "0", "3"]


async def test_the_quick_start(servers: dict[str, Loopback]) -> None:
    """`factory.generate_gmn(prompt=, agent_type=)` gives a text that can be read (X-06, S3-20)."""
    # Create factory with auto-detection
    factory = create_llm_factory()

    # Generate GMN from natural language
    gmn = await factory.generate_gmn(
        prompt="Create an agent that explores a grid world",
        agent_type="explorer",
    )

    assert parse(gmn).agent_type == "explorer"
    (sent,) = servers["openai"].requests
    assert sent.json["messages"][-1]["content"].endswith(
        "Create an agent that explores a grid world"
    )


async def test_basic_generation(servers: dict[str, Loopback]) -> None:
    """Without a type, with one, and with constraints (X-06, S3-20, S3-24)."""
    factory = create_llm_factory()

    # Simple agent
    gmn = await factory.generate_gmn(
        prompt="Create a cautious explorer agent",
    )
    assert parse(gmn) == good()

    # With agent type hints
    gmn = await factory.generate_gmn(
        prompt="Create a market trading agent",
        agent_type="trader",
    )
    assert parse(gmn).agent_type == "trader"

    # With constraints
    gmn = await factory.generate_gmn(
        prompt="Create a team coordinator",
        agent_type="coordinator",
        constraints={
            "max_states": 10,
            "max_actions": 5,
        },
    )
    spec = parse(gmn)
    assert sum(each.size for each in spec.factors) <= 10
    assert sum(each.size for each in spec.controls) <= 5
    asked = servers["openai"].requests[-1].json["messages"][-1]["content"]
    assert "at most 10 states" in asked
    assert "at most 5 actions" in asked


async def test_the_coordinator_of_the_mock() -> None:
    """The document's coordinator, written by the mock, keeps both limits (X-06, S3-17)."""
    factory = LLMProviderFactory({"provider": "mock"})
    gmn = await factory.generate_gmn(
        prompt="Create a team coordinator",
        agent_type="coordinator",
        constraints={"max_states": 10, "max_actions": 5},
    )
    provider = await factory.get_provider()

    assert await provider.validate_gmn(gmn, max_states=10, max_actions=5) == (True, [])


async def test_validation(servers: dict[str, Loopback], capsys: pytest.CaptureFixture[str]) -> None:
    """`is_valid, errors = await provider.validate_gmn(gmn)` asks no model (X-06, S3-30)."""
    factory = create_llm_factory()
    for gmn in (GOOD, WRONG_SHAPE):
        provider = await factory.get_provider()
        is_valid, errors = await provider.validate_gmn(gmn)

        if not is_valid:
            print(f"Validation errors: {errors}")

    said = capsys.readouterr().out
    assert said.startswith("Validation errors: ['line 5")
    assert said.count("Validation errors") == 1
    assert servers["openai"].requests == []


async def test_refinement(servers: dict[str, Loopback]) -> None:
    """`provider.refine_gmn(gmn_spec=, feedback=)` gives the changed text (X-06, S3-40)."""
    current_gmn = GOOD
    changed = GOOD.replace("2.0", "3.0")
    servers["openai"].always(FORMATS["openai"].whole(changed))
    factory = create_llm_factory()
    provider = await factory.get_provider()

    # Iteratively improve GMN
    refined_gmn = await provider.refine_gmn(
        gmn_spec=current_gmn,
        feedback="Add memory capabilities",
    )

    assert parse(refined_gmn) == parse(changed)


async def test_memory_on_the_mock() -> None:
    """The document's feedback really adds a factor that remembers (X-06, S3-42)."""
    factory = LLMProviderFactory({"provider": "mock"})
    provider = await factory.get_provider()
    current_gmn = await factory.generate_gmn("Create a cautious explorer agent")

    refined_gmn = await provider.refine_gmn(
        gmn_spec=current_gmn,
        feedback="Add memory capabilities",
    )

    before, after = parse(current_gmn), parse(refined_gmn)
    assert len(after.factors) == len(before.factors) + 1
    assert len(after.transitions) == len(before.transitions) + 1


@pytest.mark.filterwarnings("ignore::llmport_magic.llm.routing.router.LLMFailoverWarning")
async def test_the_chain_is_used(servers: dict[str, Loopback]) -> None:
    """Where the primary fails the next provider writes the specification (X-06, S3-21)."""
    servers["openai"].always(failure(404, "no such model"))
    factory = create_llm_factory()
    gmn = await factory.generate_gmn(prompt="Create a cautious explorer agent")

    assert parse(gmn) == good()
    assert len(servers["anthropic"].requests) == 1


async def test_error_handling(
    servers: dict[str, Loopback], capsys: pytest.CaptureFixture[str]
) -> None:
    """`except LLMError` sees failures of calls and of answers, in one line (X-06, S3-15)."""
    factory = create_llm_factory()
    prompt: Any = "Create a cautious explorer agent"
    for script in (FORMATS["openai"].whole(WRONG_SHAPE), failure(401, "bad key")):
        servers["openai"].always(script)
        servers["anthropic"].always(failure(401, "bad key"))
        try:
            gmn = await factory.generate_gmn(prompt)
        except LLMError as e:
            # Handle LLM-specific errors
            print(f"LLM Error: {e}")
        else:
            raise AssertionError(gmn)

    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("LLM Error: none of 3 answers is a valid specification")
    assert second.startswith("LLM Error: no provider answered")
