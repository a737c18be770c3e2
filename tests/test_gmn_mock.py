"""What the mock writes when it is asked for a specification: valid, running, and called its own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from llmport_magic.errors import LLMError
from llmport_magic.gmn import Process, Spec, generate, parse, refine, validate
from llmport_magic.gmn.writing.prompting import agent_types
from llmport_magic.llm import MockConnector
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.cost import estimate_tokens

SIZES = [(rows, columns) for rows in range(2, 9) for columns in (2, 5, 8)]


def _steps(spec: Spec, count: int = 10) -> None:
    """Let the agent take steps in the world that its specification describes."""
    agent, world = spec.agent(seed=1), Process(spec, seed=1)
    observation = world.reset()
    for _ in range(count):
        step = agent.step(observation)
        for belief in step.beliefs:
            assert belief.sum() == pytest.approx(1)
        observation = world.step(step.action)


@pytest.mark.parametrize("temper", ["", "cautious ", "curious "])
@pytest.mark.parametrize("agent_type", agent_types())
def test_every_type_is_valid_and_runs(agent_type: str, temper: str) -> None:
    """Each type of agent, cautious or curious, validates and its agent takes ten steps (S3-17)."""
    spec = generate(f"a {temper}one", agent_type, connector=MockConnector())

    assert validate(spec.to_text()).ok
    assert spec.agent_type == agent_type
    _steps(spec)


@pytest.mark.parametrize(
    ("agent_type", "states", "actions"),
    [
        ("general", ["situation"], ["back", "on", "stay"]),
        ("explorer", ["location"], ["up", "right", "down", "left", "stay"]),
        ("trader", ["market", "position"], ["sell", "hold", "buy"]),
        ("coordinator", ["need", "helping"], ["nobody", "first", "second", "third"]),
        ("analyst", ["truth", "said"], ["nothing", "first", "second", "third"]),
        ("creative", ["idea", "audience"], ["simplify", "keep", "vary"]),
    ],
)
def test_each_type_is_in_and_does_what_is_its_own(
    agent_type: str, states: list[str], actions: list[str]
) -> None:
    """The type alone decides which states there are and what can be done (S3-23)."""
    spec = generate("somebody", agent_type, connector=MockConnector())

    assert [each.name for each in spec.factors] == states
    assert [list(each.labels) for each in spec.controls] == [actions]


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize("temper", ["cautious", "curious"])
def test_every_grid_is_valid_and_runs(rows: int, columns: int, temper: str) -> None:
    """Grids of 2 x 2 to 8 x 8 have matrices of their size, and agents that run (S3-17)."""
    prompt = f"a {temper} explorer in a {rows}x{columns} grid"
    spec = generate(prompt, "explorer", connector=MockConnector())
    cells = rows * columns

    assert [a.shape for a in spec.A] == [(cells, cells)]
    assert [b.shape for b in spec.B] == [(cells, cells, 5)]
    _steps(spec)


def test_a_cautious_explorer_in_a_grid() -> None:
    """25 states, 4 or 5 actions, matrices of that size, and losses that weigh more (S3-26)."""
    spec = parse(generate("cautious explorer in a 5x5 grid", connector=MockConnector()).to_text())
    (emission,), (transition,), (wanted,) = spec.A, spec.B, spec.C

    assert [factor.size for factor in spec.factors] == [25]
    assert spec.controls[0].size in (4, 5)
    assert emission.shape == (25, 25)
    assert transition.shape == (25, 25, spec.controls[0].size)
    assert np.allclose(emission.sum(axis=0), 1)
    assert np.allclose(transition.sum(axis=0), 1)
    # What it loses weighs more than what it can win.
    assert -wanted.min() > 2 * abs(wanted.max())
    assert int(wanted.argmin()) != int(wanted.argmax()) == 24


def test_caution_is_what_the_word_says() -> None:
    """Who is curious wants less than who is not, and who is cautious fears more (S3-17)."""
    bold, careful, curious = (
        generate(f"a {word} explorer in a 4x4 grid", connector=MockConnector()).C[0]
        for word in ("plain", "cautious", "curious")
    )

    assert careful.min() < bold.min()
    assert np.ptp(curious) < np.ptp(bold)


def test_an_explorer_is_short() -> None:
    """The answer for a 5 x 5 grid has fewer than 800 tokens, its numbers thousands (S3-61)."""
    mock = MockConnector()
    spec = generate("an explorer in a 5x5 grid", "explorer", connector=mock)

    assert mock.usage_total["completion_tokens"] < 800
    assert estimate_tokens(spec.to_text()) < 800
    assert sum(matrix.size for matrix in (*spec.A, *spec.B)) > 3_000


def test_the_mock_says_that_it_is_the_mock() -> None:
    """A comment and the description say that no model was asked (S3-17)."""
    texts: list[str] = []
    spec = generate("an explorer", "explorer", connector=MockConnector(), on_text=texts.append)

    assert "".join(texts).startswith("# Written by the mock, no model was asked.\n")
    assert "written by the mock, no model was asked" in spec.description
    assert "written by the mock" in spec.to_text()


def test_the_same_request_gets_the_same_answer() -> None:
    """The mock is deterministic, and another request gets another answer (S3-17)."""
    first, again = (
        generate("a team of four robots", "coordinator", connector=MockConnector())
        for _ in range(2)
    )
    other = generate("a team of two robots", "coordinator", connector=MockConnector())

    assert first == again != other
    assert [factor.size for factor in first.factors] == [5, 5]
    assert [factor.size for factor in other.factors] == [3, 3]


@pytest.mark.parametrize(
    ("agent_type", "constraints"),
    [
        ("coordinator", {"max_states": 10, "max_actions": 5}),
        ("coordinator", {"max_states": 6}),
        ("analyst", {"max_states": 5, "horizon": 1}),
        ("explorer", {"max_states": 10}),
        ("explorer", {"max_states": 12, "max_actions": 4, "horizon": 3}),
        ("trader", {"max_factors": 2, "max_observations": 6}),
        ("creative", {"max_states": 5, "max_actions": 3}),
        ("general", {"max_states": 2}),
    ],
)
def test_the_mock_keeps_limits(agent_type: str, constraints: dict[str, int]) -> None:
    """What was asked of sizes and of the horizon holds at the first try (S3-24)."""
    mock = MockConnector()
    spec = generate("one", agent_type, constraints=constraints, connector=mock)

    assert len(mock.calls) == 1
    assert validate(spec, **constraints).ok
    assert spec.horizon == constraints.get("horizon", spec.horizon)


def test_memory_is_a_factor_that_remembers() -> None:
    """`Add memory capabilities` adds a state with a transition that keeps what was (S3-42)."""
    before = generate("an explorer in a 3x3 grid", connector=MockConnector())
    after = refine(before, "Add memory capabilities", connector=MockConnector())

    assert [f.name for f in after.factors] == [*(f.name for f in before.factors), "memory"]
    assert len(after.transitions) == len(before.transitions) + 1
    assert validate(after.to_text()).ok
    # [next, memory, location, action]: what was once there is never forgotten again.
    memory = after.B[1][..., 0]
    assert memory[1, 0, 8] == 1
    assert (memory[1, 1, :] == 1).all()
    assert (memory[0, 0, :8] == 1).all()
    _steps(after)


@pytest.mark.parametrize(
    ("feedback", "what"),
    [("be more cautious", "preferences"), ("look 3 steps ahead", "horizon")],
)
def test_other_changes(feedback: str, what: str) -> None:
    """Caution weighs losses more, and the horizon can be said; the rest stays (S3-42)."""
    before = generate("a trader", "trader", connector=MockConnector())
    after = refine(before, feedback, connector=MockConnector())

    assert getattr(after, what) != getattr(before, what)
    assert (after.factors, after.emissions) == (before.factors, before.emissions)


def test_a_small_mock_writes_the_same() -> None:
    """Asked in the words for small models, it writes and changes as otherwise (S3-17)."""

    class Small(MockConnector):
        capabilities = LLMCapabilities(size="small")

    small, prompt = Small(), "a curious explorer in a 3x4 grid"
    spec = generate(prompt, "explorer", constraints={"horizon": 1}, connector=small)

    assert len(small.calls[0].messages) > 2
    large = generate(prompt, "explorer", constraints={"horizon": 1}, connector=MockConnector())
    assert spec == large
    assert refine(spec, "remember", connector=small).factors[1].name == "memory"


def test_a_second_memory_gets_a_name_of_its_own() -> None:
    """A name that is taken is not taken twice."""
    spec = generate("an explorer in a 2x2 grid", connector=MockConnector())
    for _ in range(2):
        spec = refine(spec, "remember more", connector=MockConnector())

    assert [f.name for f in spec.factors] == ["location", "memory", "memory_2"]


def test_some_calls_fail() -> None:
    """`error_rate` lets that share of calls fail, the same ones each time (S3-17)."""

    def failed(rate: float) -> list[bool]:
        mock = MockConnector(error_rate=rate)
        found = []
        for _ in range(200):
            try:
                mock.call_llm("q")
                found.append(False)
            except LLMError as error:
                found.append(error.retryable)
        return found

    assert failed(0.3) == failed(0.3)
    assert 40 < sum(failed(0.3)) < 80
    assert not any(failed(0.0))
    assert all(failed(1.0))
    with pytest.raises(ValueError, match=r"share from 0 to 1, not 1\.5"):
        MockConnector(error_rate=1.5)


def test_other_requests_are_answered_as_before() -> None:
    """The mock writes a module for everything else, and loads nothing of specifications."""
    code = (
        "import sys; from llmport_magic.llm import MockConnector;"
        "print('def words' in MockConnector().call_llm('count words'));"
        "print([m for m in sys.modules if m.startswith(('llmport_magic.gmn', 'numpy'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == "True\n[]\n"
