"""What is tried next, by the model's size and within the budget."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import pytest
from scripted import GOOD, PROMPT, fenced, scripted

from llmport_magic import llmport
from llmport_magic.errors import LLMOutputError
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.registry import PROVIDER_CONFIG
from llmport_magic.modules.strategy import (
    AttemptPlan,
    AttemptRecord,
    add_missing_imports,
    first_attempt,
    next_attempt,
)
from llmport_magic.settings import Settings


@dataclass
class Model:
    """A model's capabilities, as far as the strategy asks for them."""

    size: str = "large"
    completion_style: bool = False


LARGE, SMALL = Model(), Model("small", completion_style=True)


def different(number, plan):
    """Fail with another answer each time."""
    return AttemptRecord(plan, f"x = {number}", ("no",))


def play(model, settings, answer=different):
    """Let every attempt fail; give the plans in order."""
    history, plan = [], first_attempt(model, settings)
    while plan is not None:
        history.append(answer(len(history), plan))
        plan = next_attempt(model, history, settings)
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


UNDEFINED = "NameError: name '{}' is not defined"


@pytest.mark.parametrize(
    ("source", "name", "line"),
    [
        ("def f(r):\n    return math.pi * r\n", "math", "import math"),
        ("def f(x):\n    return Counter(x)\n", "Counter", "from collections import Counter"),
        ("def f(x) -> List[int]:\n    return x\n", "List", "from typing import List"),
        ("def f():\n    return datetime.now()\n", "datetime", "from datetime import datetime"),
        ("def f():\n    return datetime.date(1, 1, 1)\n", "datetime", "import datetime"),
        ("@dataclass\nclass A:\n    x: int\n", "dataclass", "from dataclasses import dataclass"),
    ],
)
def test_a_forgotten_import_is_added(source, name, line):
    """A name of the standard library that is not defined is imported (S0-34)."""
    mended = add_missing_imports(source, ("f(1) failed: " + UNDEFINED.format(name),))

    assert mended == f"{line}\n{source}"
    compile(mended, "m", "exec")


def test_imports_go_below_docstring_and_future_imports():
    """The docstring stays the docstring, and `__future__` imports stay first (S0-34)."""
    source = '"""About circles,\nand more."""\nfrom __future__ import annotations\n\nX = math.pi\n'
    mended = add_missing_imports(source, (UNDEFINED.format("math"),))
    space = {}
    exec(compile(mended, "m", "exec"), space)

    assert space["__doc__"] == "About circles,\nand more."
    assert space["X"] > 3


def test_all_forgotten_imports_are_added_at_once():
    """An error tells of the first missing name only; all of them are imported (S0-34)."""
    source = "def f(x):\n    return json.dumps(re.findall('a', x)) + dedent('')\n"
    mended = add_missing_imports(source, (UNDEFINED.format("json"),))

    assert mended.startswith("from textwrap import dedent\nimport json\nimport re\n")


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        ("def f():\n    return np.zeros(3)\n", UNDEFINED.format("np")),
        ("def f():\n    return helper()\n", UNDEFINED.format("helper")),
        ("def f():\n    return math.pi\n", "expected 3, got 4"),
        ("def f(:\n    return math.pi\n", UNDEFINED.format("math")),
        ("def f():\n    return 1\n", ""),
    ],
)
def test_nothing_else_is_touched(source, finding):
    """Only names of the standard library, and only when the check missed one (S0-34)."""
    assert add_missing_imports(source, (finding,)) is None


def test_names_that_the_module_binds_are_not_imported():
    """A name that the module uses as its own variable is left alone (S0-34)."""
    source = "def f(count, date):\n    string = count\n    return math.sqrt(string), date\n"

    assert add_missing_imports(source, (UNDEFINED.format("math"),)) == f"import math\n{source}"


def free_name():
    """Give a module name that no other test has registered."""
    return f"made_{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("rambling", ["I cannot say.", "", "# nothing but a comment"])
def test_a_small_model_that_gave_no_code_is_asked_again(tmp_path, monkeypatch, rambling):
    """A small model's answer without code counts as a try, and the next may pass (S0-26)."""
    small = LLMCapabilities(size="small", completion_style=False)
    with scripted(rambling, fenced(GOOD)) as script:
        monkeypatch.setattr(PROVIDER_CONFIG["scripted"]["connector"], "capabilities", small)
        module = llmport(free_name(), PROMPT, provider="scripted", module_dir=str(tmp_path))

    assert script.calls == 2
    assert round(module.area(2), 3) == 12.566


def test_a_large_model_that_gave_no_code_is_not_asked_again(tmp_path):
    """A large model that declines is believed: one request, and an error (S0-25)."""
    with scripted("I cannot say.", fenced(GOOD)) as script, pytest.raises(LLMOutputError):
        llmport(free_name(), PROMPT, provider="scripted", module_dir=str(tmp_path))

    assert script.calls == 1
    assert not list(tmp_path.glob("*.py"))
