"""What is tried next, by the model's size and within the budget."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import pytest
from awaiting import PATIENCE
from scripted import GOOD, PROMPT, fenced, scripted

from llmport_magic import llmport
from llmport_magic.errors import LLMOutputError
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.registry import PROVIDER_CONFIG
from llmport_magic.modules.budget import ended
from llmport_magic.modules.strategy import (
    AttemptPlan,
    AttemptRecord,
    first_attempt,
    next_attempt,
)
from llmport_magic.settings import Settings


@dataclass
class Model:
    """A model's capabilities, as far as the strategy asks for them."""

    size: str = "large"
    completion_style: bool = False
    max_output_tokens: int | None = None


LARGE, SMALL = Model(), Model("small", completion_style=True)


def different(number, plan):
    """Fail with another answer each time."""
    return AttemptRecord(plan, f"x = {number}", ("no",))


def play(model, settings, answer=different):
    """Let every attempt fail; give the plans in order."""
    history = []
    while ended(history, settings, model) is None:
        history.append(answer(len(history), next_attempt(model, history, settings)))
    return [record.plan for record in history]


def test_small_models_change_style_then_sample():
    """A small model is asked greedily, in completion style, then sampled with seeds 1, 2, 3."""
    plans = play(SMALL, Settings(tries=5))

    assert plans == [
        AttemptPlan("chat", 0.0, 0),
        AttemptPlan("completion", 0.0, 0),
        AttemptPlan("chat", 0.8, 1),
        AttemptPlan("chat", 0.8, 2),
        AttemptPlan("chat", 0.8, 3),
    ]


def test_small_models_without_completion_style_sample_at_once():
    """A small model that only chats goes on to samples after its greedy answer."""
    plans = play(Model("small"), Settings(tries=3))

    assert [(plan.style, plan.seed) for plan in plans] == [("chat", 0), ("chat", 1), ("chat", 2)]


def test_large_models_get_their_findings_back():
    """A large model is told what is wrong with its last answer, and shown that answer (S0-26)."""
    plans = play(LARGE, Settings(tries=3))

    assert [plan.style for plan in plans] == ["chat", "repair", "repair"]
    assert plans[1].findings == ("no",)
    assert (plans[1].previous, plans[2].previous) == ("x = 0", "x = 1")


def test_large_models_that_repeat_themselves_start_afresh():
    """The same wrong answer twice is not argued with a third time (S0-26)."""
    plans = play(LARGE, Settings(tries=4), lambda _, plan: AttemptRecord(plan, "x = 1", ("no",)))

    assert [plan.style for plan in plans][:3] == ["chat", "repair", "chat"]


def test_an_answer_without_code_is_not_sent_back():
    """Where there was no code there is nothing to repair: the question is asked again (S0-26)."""
    plans = play(LARGE, Settings(tries=2), lambda _, plan: AttemptRecord(plan, "", ("no module",)))

    assert [plan.style for plan in plans] == ["chat", "chat"]


@pytest.mark.parametrize("model", [LARGE, SMALL])
@pytest.mark.parametrize("tries", [1, 2, 7])
def test_the_number_of_tries_ends_it(model, tries):
    """No more answers are asked for than `tries` says: there is no endless loop (S0-26)."""
    assert len(play(model, Settings(tries=tries))) == tries


@pytest.mark.parametrize("model", [LARGE, SMALL])
def test_the_token_budget_ends_it(model):
    """Once the completion tokens are spent no further answer is asked for (S0-26)."""
    settings = Settings(tries=50, budget_tokens=1000)
    plans = play(model, settings, lambda n, plan: AttemptRecord(plan, f"{n}", ("no",), 400))

    assert len(plans) == 3


@pytest.mark.parametrize("model", [LARGE, SMALL])
def test_the_time_budget_ends_it(model):
    """Once the seconds are spent no further answer is asked for (S0-26)."""
    settings = Settings(tries=50, budget_seconds=10)
    plans = play(model, settings, lambda n, plan: AttemptRecord(plan, f"{n}", ("no",), 1, 5.0))

    assert len(plans) == 2


def test_the_users_temperature_and_seed_win():
    """A temperature and a seed that the user set are those of the first attempt."""
    settings = Settings(temperature=0.3, seed=9)

    assert first_attempt(SMALL, settings) == AttemptPlan("chat", 0.3, 9)
    assert first_attempt(LARGE, settings) == AttemptPlan("chat", 0.3, 9)
    assert first_attempt(LARGE) == AttemptPlan("chat")


def test_samples_never_repeat_a_seed():
    """Each fresh sample has a seed of its own, also when the first attempt was sampled."""
    plans = play(SMALL, Settings(tries=6, temperature=0.5, seed=3))
    sampled = [plan.seed for plan in plans if plan.temperature == 0.8]

    assert len(set(sampled)) == len(sampled) == 4


def free_name():
    """Give a module name that no other test has registered."""
    return f"made_{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("rambling", ["I cannot say.", "", "# nothing but a comment"])
def test_a_small_model_that_gave_no_code_is_asked_again(tmp_path, monkeypatch, rambling):
    """A small model's answer without code counts as a try, and the next may pass (S0-26)."""
    small = LLMCapabilities(size="small", completion_style=False)
    with scripted(rambling, fenced(GOOD)) as script:
        monkeypatch.setattr(PROVIDER_CONFIG["scripted"]["connector"], "capabilities", small)
        given = {"provider": "scripted", "module_dir": str(tmp_path), "sandbox_seconds": PATIENCE}
        module = llmport(free_name(), PROMPT, **given)

    assert script.calls == 2
    assert round(module.area(2), 3) == 12.566


def test_a_large_model_that_gave_no_code_is_not_asked_again(tmp_path):
    """A large model that declines is believed: one request, and an error (S0-25)."""
    with scripted("I cannot say.", fenced(GOOD)) as script, pytest.raises(LLMOutputError):
        llmport(free_name(), PROMPT, provider="scripted", module_dir=str(tmp_path))

    assert script.calls == 1
    assert not list(tmp_path.glob("*.py"))
