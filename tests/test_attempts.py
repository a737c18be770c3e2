"""The tries of a request on the whole road: what ends them, what is said, and what is on record."""

from __future__ import annotations

import asyncio
import threading
import uuid
from contextlib import closing
from dataclasses import replace

import pytest
from awaiting import PATIENCE
from loopback import streamed
from scripted import GOOD, PROMPT, fenced, scripted
from test_kernel import journal

from llmport_magic import llmport
from llmport_magic.attempts import Attempt
from llmport_magic.errors import ConfigError, LLMOutputError, LLMStreamError, VerificationError
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.registry import PROVIDER_CONFIG
from llmport_magic.log.events import Event, Kind
from llmport_magic.log.rendering import event_cells
from llmport_magic.pipeline import write
from llmport_magic.progress import ModuleRequest, Noted, Stored
from llmport_magic.session import Session
from llmport_magic.settings import resolve

SMALL = LLMCapabilities(size="small")
LARGE = LLMCapabilities(size="large")
PRICED = {"input_cost_per_1k_tokens": 1.0, "output_cost_per_1k_tokens": 1.0}
DOUBTED = "Area of a circle.\n\n>>> round(area(2), 2)\n12.56\n>>> area(0)\n0.0\n"


def wrong(number, value="1"):
    """Give an answer that fails, another text each time."""
    return fenced(f"NUMBER = {number}\n\n\ndef area(radius):\n    return {value}\n")


def right(number):
    """Give a right answer, another program each time."""
    return fenced(
        f"import math\n\nN = {number}\n\n\ndef area(radius):\n    return math.pi*radius**2\n"
    )


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Ask for a module of a scripted model with these capabilities."""

    def ask(able=LARGE, prompt=PROMPT, **settings):
        connector = PROVIDER_CONFIG["scripted"]["connector"]
        monkeypatch.setattr(connector, "capabilities", able)
        name = f"made_{uuid.uuid4().hex[:8]}"
        given = {"provider": "scripted", "module_dir": str(tmp_path), "sandbox_seconds": PATIENCE}
        return llmport(name, prompt, **given, **settings)

    return ask


@pytest.fixture
def never():
    """Give an answer that does not come before the test is over."""
    over = threading.Event()
    yield lambda _: over.wait() and ""
    over.set()


def nothing_made(folder):
    """Tell that no module was written."""
    return not list(folder.glob("*.py"))


@pytest.mark.parametrize("able", [LARGE, SMALL])
def test_the_error_says_that_the_tries_are_spent(make, tmp_path, able):
    """After the last try the error says so, with the number and the option (S0-26)."""
    with (
        scripted(*(wrong(n, str(n)) for n in range(9))) as script,
        pytest.raises(VerificationError) as caught,
    ):
        make(able, tries=3)

    assert script.calls == 3
    assert "stopped after 3 of 3 tries: raise `--tries` above 3" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert nothing_made(tmp_path)


def test_a_module_is_made_of_the_parts_that_are_right(make, tmp_path):
    """Answers that have one function right each make the module, and the log says so (S0-43)."""
    prompt = "Two numbers.\n\n>>> one()\n1\n>>> two()\n2\n"
    answers = [
        fenced(f"def one():\n    return {one}\n\n\ndef two():\n    return {two}\n")
        for one, two in ((1, 1), (3, 2))
    ]
    with scripted(*answers) as script:
        with pytest.warns(UserWarning, match="no answer passed"):
            module = make(SMALL, prompt)
        told = [event for event in journal(tmp_path) if "each part is of one" in str(event)]

    assert script.calls == 2
    assert (module.one(), module.two()) == (1, 2)
    assert told


def test_parts_that_do_not_fit_together_make_no_module(make, recwarn):
    """Right one by one and wrong together: the combination is checked, and not taken (S0-43)."""
    prompt = "Two numbers.\n\n>>> one()\n1\n>>> two()\n2\n"
    answers = [
        fenced(f"def one():\n    return {one}\n\n\ndef two():\n    return {two}\n")
        for one, two in ((1, 5), (3, "one() - 1"), (1, 2))
    ]
    with scripted(*answers) as script:
        module = make(SMALL, prompt)

    assert script.calls == 3
    assert (module.one(), module.two()) == (1, 2)
    assert not [each for each in recwarn if "no answer passed" in str(each.message)]


def test_the_error_says_that_the_tokens_are_spent(make, tmp_path):
    """Spent tokens end the tries; the error names setting, number and source (S0-26)."""
    with scripted(*(wrong(n, str(n)) for n in range(9))) as script:  # noqa: SIM117
        with pytest.raises(VerificationError) as caught:
            make(budget_tokens=30, max_tokens=10)

    assert 1 <= script.calls < 5
    said = f"stopped after {script.calls} of 5 tries: `budget_tokens` = 30 (set by argument"
    assert said in str(caught.value)
    assert nothing_made(tmp_path)


def test_money_ends_the_tries_before_it_is_spent(make, tmp_path):
    """No further answer is bought where that would pass `budget_dollars` (S0-26)."""
    with scripted(*(wrong(n, str(n)) for n in range(9))) as script:
        with pytest.raises(VerificationError) as caught:
            make(LLMCapabilities(**PRICED), budget_dollars=1.2)
        costs = costs_of(tmp_path)

    assert script.calls == len(costs) < 5
    assert sum(costs) <= 1.2 < sum(costs) + max(costs) + 1.0
    assert "`budget_dollars` = 1.2" in str(caught.value)
    assert f"${sum(costs):.4f}" in str(caught.value)
    assert nothing_made(tmp_path)


def test_a_prompt_that_is_too_dear_is_not_sent(make):
    """A prompt that alone costs more than `budget_dollars` is refused before it is sent (S0-26)."""
    with scripted(fenced(GOOD)) as script, pytest.raises(ConfigError, match="nothing was sent"):
        make(LLMCapabilities(**PRICED), budget_dollars=0.01)

    assert script.calls == 0


def test_what_is_free_has_no_budget(make):
    """A model that costs nothing is asked also where nothing may be spent (S0-26)."""
    free = LLMCapabilities(input_cost_per_1k_tokens=0.0, output_cost_per_1k_tokens=0.0)
    with scripted(wrong(1), fenced(GOOD)) as script:
        module = make(free, budget_dollars=0)

    assert script.calls == 2
    assert round(module.area(2), 3) == 12.566


async def test_an_unknown_price_is_told_once(tmp_path):
    """Where no price is known the budget of money cannot be counted: said once (S0-26)."""
    with scripted(wrong(1), wrong(2, "2"), fenced(GOOD)) as script:
        settings = resolve(
            provider="scripted",
            module_dir=str(tmp_path),
            budget_dollars=0.01,
            sandbox_seconds=PATIENCE,
        )
        request = ModuleRequest(name="circle", prompt=PROMPT, settings=settings)
        with closing(Session()) as session:
            events = [event async for event in write(request, session)]
    told = [event.text for event in events if isinstance(event, Noted)]

    assert script.calls == 3
    assert isinstance(events[-1], Stored)
    assert [text for text in told if "`budget_dollars` = 0.01 cannot be counted" in text] == told[
        :1
    ]


def test_a_slow_first_answer_is_ended(make, tmp_path, never):
    """An answer that is still arriving when the time is over is ended, and says why (S0-26)."""
    with scripted(never), pytest.raises(LLMStreamError) as caught:
        make(budget_seconds=0.5)

    assert "`budget_seconds` = 0.5 was over: raise it" in str(caught.value)
    assert nothing_made(tmp_path)


def test_a_slow_later_answer_is_ended_too(make, tmp_path, never, monkeypatch, leap):
    """The time left is what earlier attempts did not take; the last candidate is told (S0-26)."""
    outcome = Attempt.outcome_of
    monkeypatch.setattr(
        Attempt, "outcome_of", lambda *given, **more: replace(outcome(*given, **more), seconds=3000)
    )

    def late(prompt):
        # Less than all of the hour, and more than is left of it.
        leap(1200)
        return never(prompt)

    with scripted(wrong(1), late) as script, pytest.raises(VerificationError) as caught:
        make(budget_seconds=3600)

    assert script.calls == 2
    said = "stopped after 1 of 5 tries: `budget_seconds` = 3600 (set by argument"
    assert said in str(caught.value)
    assert nothing_made(tmp_path)


@pytest.mark.parametrize(
    ("able", "answers", "calls"),
    [
        (LARGE, [right(1), right(2), right(3)], 2),
        (SMALL, [right(1), right(2), right(3), right(4)], 3),
        (SMALL, [right(1), right(1), wrong(3), right(2), right(3)], 5),
    ],
)
def test_answers_that_agree_question_the_example(make, tmp_path, able, answers, calls):
    """Answers that agree on another value doubt the example, and no more are bought (S0-26)."""
    with scripted(*answers) as script, pytest.raises(VerificationError) as caught:
        make(able, DOUBTED, tries=9)

    assert script.calls == calls
    said = str(caught.value)
    assert "answers give 12.57 for `round(area(2), 2)`, your example says 12.56" in said
    assert "is the example right?" in said
    assert "line 3 of the prompt" in said
    assert nothing_made(tmp_path)


def test_answers_that_disagree_question_nothing(make):
    """Answers that are wrong in different ways go on to be worked on (S0-26)."""
    with scripted(wrong(1, "0.0"), wrong(2, "0.0 * 1 or 7.0"), fenced(GOOD)) as script:
        make(LARGE, DOUBTED.replace("12.56", "12.57"))

    assert script.calls == 3


@pytest.mark.parametrize(
    "answer", ["", "   \n", "I'm sorry, I cannot do that.", "# only a comment\n"]
)
def test_an_empty_or_refused_answer_makes_no_file(make, tmp_path, answer):
    """An answer that is empty, refuses or only comments is an error, and no file (S0-25)."""
    with scripted(answer) as script, pytest.raises(LLMOutputError):
        make(LARGE)

    assert script.calls == 1
    assert nothing_made(tmp_path)


def test_every_attempt_is_on_record_with_its_cost(make, tmp_path):
    """A syntax error is worked on; both attempts have prompt, answer, cost and check (S0-26)."""
    with scripted(fenced("def area(:\n"), fenced(GOOD)) as script:
        make(LLMCapabilities(**PRICED))
    lines = [line for line in journal(tmp_path) if line["kind"] in {"PROMPT", "RESPONSE", "VERIFY"}]
    data = [line["body"]["data"] for line in lines]

    assert script.calls == 2
    assert [line["kind"] for line in lines] == ["PROMPT", "RESPONSE", "VERIFY"] * 2
    assert [each["attempt"] for each in data] == [1, 1, 1, 2, 2, 2]
    assert [each["style"] for each in data] == ["chat"] * 3 + ["repair"] * 3
    for each in (data[1], data[4]):
        assert each["cost"] > 0
        assert each["cost_source"] == "estimated"
        assert each["seconds"] >= 0
        assert each["usage"]["completion_tokens"] > 0
    assert [each["verdict"]["proof"] for each in (data[2], data[5])] == ["failed", "passed"]
    assert lines[5]["body"]["text"].startswith("attempt 2 (repair): ")
    assert f"${data[4]['cost']:.4f} estimated" in lines[5]["body"]["text"]


def test_the_seed_of_a_sample_is_on_record(make, tmp_path):
    """A small model's samples are on record with the seed of each, rambling included (S0-26)."""
    with scripted("I cannot say.", wrong(1), fenced(GOOD)):
        make(SMALL)
    checks = [line["body"] for line in journal(tmp_path) if line["kind"] == "VERIFY"]

    assert [check["data"]["seed"] for check in checks] == [0, 1, 2]
    assert [check["data"]["verdict"]["proof"] for check in checks] == ["failed", "failed", "passed"]
    assert checks[2]["text"].startswith("attempt 3 (chat, seed 2): ")


def costs_of(folder):
    """Give what each answer of the journal cost."""
    answers = [line["body"]["data"] for line in journal(folder) if line["kind"] == "RESPONSE"]
    return [answer["cost"] for answer in answers]


# What was cut off may be right as far as it goes: only the end says that there was more.
CUT = streamed(fenced(GOOD), finish="length")
WHOLE = streamed(fenced(GOOD))


@pytest.fixture
def wire(server, tmp_path):
    """Ask the loopback server for a module."""

    def ask(**settings):
        name = f"made_{uuid.uuid4().hex[:8]}"
        given = {"provider": "openai", "base_url": server.url, "api_key": "k-0123456789"}
        given |= {"model": "m-1", "module_dir": str(tmp_path), "sandbox_seconds": PATIENCE}
        return llmport(name, PROMPT, **given, **settings)

    return ask


def test_an_answer_that_was_cut_off_gets_twice_the_room(server, wire):
    """A truncated answer is not taken: it is asked for again with more `max_tokens` (S0-24)."""
    server.script(CUT, WHOLE)
    module = wire()
    first, second = (request.json for request in server.requests)

    assert round(module.area(2), 3) == 12.566
    assert second["max_tokens"] > max(first.get("max_tokens") or 0, 1)
    assert first["messages"] == second["messages"]


def test_the_users_own_limit_is_not_raised(server, wire, tmp_path):
    """Where the user set `max_tokens` a truncated answer ends the run and says so (S0-24)."""
    server.always(CUT)
    with pytest.raises(LLMOutputError) as caught:
        wire(max_tokens=50)

    assert len(server.requests) == 1
    assert "cut off" in str(caught.value)
    assert "`max_tokens` = 50 (set by argument" in str(caught.value)
    assert nothing_made(tmp_path)


def test_a_model_that_is_cut_off_again_and_again_ends(server, wire, tmp_path):
    """An endless answer is asked for no more often than the budget allows (S0-24, S0-26)."""
    server.always(CUT)
    with pytest.raises(LLMOutputError, match="stopped after"):
        wire(tries=4)

    assert 2 <= len(server.requests) <= 4
    assert nothing_made(tmp_path)


def test_the_log_shows_how_each_prompt_was_put(make, tmp_path):
    """A prompt's heading in the log notebook has attempt, style and seed (S0-26)."""
    with scripted(wrong(1), fenced(GOOD)):
        make(SMALL)
    prompts = [line["body"] for line in journal(tmp_path) if line["kind"] == "PROMPT"]
    again = Event(kind=Kind.PROMPT, run="r", text=prompts[1]["text"], data=prompts[1]["data"])
    shown = event_cells(again, "s")

    assert "attempt 2, chat, seed 1" in shown[0]["source"]


async def test_a_prompt_that_was_written_down_has_an_end(tmp_path, monkeypatch):
    """Interrupted before the prompt is sent, the log says so: no prompt is left open (S0-39)."""
    record = Session.record

    async def interrupted(self, settings, event, **more):
        await record(self, settings, event, **more)
        if event.kind is Kind.PROMPT:
            asyncio.current_task().cancel()
            await asyncio.sleep(0)

    monkeypatch.setattr(Session, "record", interrupted)
    settings = resolve(provider="scripted", module_dir=str(tmp_path))
    request = ModuleRequest(name="unsent", prompt=PROMPT, settings=settings)

    with scripted(fenced(GOOD)) as script, closing(Session()) as session:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(_all_of(write(request, session)))
        assert script.calls == 0

    kinds = [(line["kind"], line["body"]["data"].get("status")) for line in journal(tmp_path)]
    assert kinds == [("PROMPT", None), ("RESPONSE", "cancelled")]


async def _all_of(events):
    return [event async for event in events]
