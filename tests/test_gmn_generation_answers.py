"""Specifications out of models: answers are read, repaired, streamed and refined, or refused."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import vendors
from asking import asking
from drafts import GOOD, TRANSPOSED, WRAPPED, WRONG_SHAPE, good, line_of
from loopback import Loopback, failure, reply, streamed
from vendors import VENDORS
from warned import no_warning

from llmport_magic.errors import GMNError, GMNOutputError, LLMError, LLMOutputError, LLMStatusError
from llmport_magic.gmn import Spec, generate, parse, refine
from llmport_magic.gmn.writing.generation import drafted
from llmport_magic.gmn.writing.prompting import Wish
from llmport_magic.llm import MockConnector
from llmport_magic.llm.capabilities import LLMCapabilities

BRIGHTER = GOOD.replace("2.0", "4.0")


# -- answers, over a real server -----------------------------------------------------------------


@pytest.mark.parametrize("how", WRAPPED)
def test_sloppy_answers_over_the_wire(how: str, server: Loopback) -> None:
    """However the answer is wrapped, one request is enough (S3-22)."""
    server.script(reply(WRAPPED[how]))

    assert generate("a lamp", connector=asking(server)) == good()
    assert len(server.requests) == 1


def test_a_bad_answer_is_sent_back(server: Loopback) -> None:
    """The findings go back over the wire, and the corrected answer is taken (S3-25)."""
    server.script(reply(f"Here:\n```gmn\n{WRONG_SHAPE}```"), reply(f"```gmn\n{GOOD}```"))

    assert generate("a lamp", connector=asking(server)) == good()
    first, second = (request.json["messages"] for request in server.requests)
    assert second[: len(first)] == first
    assert "`sense`" in second[-1]["content"]
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]


def test_twelve_states_are_repaired_to_ten(server: Loopback) -> None:
    """A model that wrote 12 states under a limit of 10 is told so, and writes 10 (S3-24)."""
    server.script(reply(line_of(12)), reply(line_of(10)))
    spec = generate("walk", constraints={"max_states": 10}, connector=asking(server))

    assert spec.factors[0].size == 10
    assert "`max_states` is 10" in server.requests[1].json["messages"][-1]["content"]


def test_who_never_keeps_a_limit_ends_in_an_error(server: Loopback) -> None:
    """After three answers the error says what is wrong, and which answer it was (S3-24, S3-25)."""
    server.always(lambda _: reply(line_of(12)))
    with pytest.raises(GMNOutputError, match="12 states") as caught:
        generate("walk", constraints={"max_states": 10}, connector=asking(server))

    assert len(server.requests) == 3
    assert (caught.value.provider, caught.value.model) == ("custom", "m-1")
    assert isinstance(caught.value, GMNError)
    assert isinstance(caught.value, LLMError)
    assert "size: 12" in caught.value.text


async def test_limits_and_examples_reach_the_request(server: Loopback) -> None:
    """By function and by method limits hold for a change, and examples are sent (S3-20, S3-24)."""
    server.always(reply(GOOD))
    llm = asking(server)
    shown = good().to_text().replace("agent lamp", "agent zebra")
    assert shown != good().to_text()

    assert parse(await llm.generate_gmn("a lamp", examples=[shown])) == good()
    assert "agent zebra" in server.requests[0].json["messages"][0]["content"]
    limits = {"max_states": 1}
    with pytest.raises(GMNOutputError, match="`max_states` is 1"):
        await llm.refine_gmn(GOOD, "brighter", constraints=limits, tries=1)
    with pytest.raises(GMNOutputError, match="`max_states` is 1"):
        await asyncio.to_thread(
            refine, GOOD, "brighter", constraints=limits, connector=llm, tries=1
        )


def test_only_what_is_valid_stays_in_the_cache(server: Loopback) -> None:
    """An answer that failed is asked for anew, one that passed comes out of the cache (S3-25)."""
    server.script(reply(WRONG_SHAPE), reply(GOOD))
    with pytest.raises(GMNOutputError):
        generate("a lamp", connector=asking(server, cache=True), tries=1)

    for _ in range(2):
        assert generate("a lamp", connector=asking(server, cache=True), tries=1) == good()
    assert len(server.requests) == 2


def test_a_transposed_matrix_is_told_as_one(server: Loopback) -> None:
    """Rows that sum to 1 come back as a specification in the one orientation (S3-33)."""
    server.script(reply(TRANSPOSED), reply(TRANSPOSED), reply(TRANSPOSED))
    spec = generate("a lamp", connector=asking(server))

    assert spec.A[0].tolist() == [[0.9, 0.3], [0.1, 0.7]]
    assert any("transposed" in note for note in spec.notes)


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.dialect)
def test_every_format(vendor: Any, server: Loopback) -> None:
    """Each vendor's wire brings a specification, whole and streamed (S3-20)."""
    pieces: list[str] = []
    server.script(vendor.whole(GOOD), vendor.stream(GOOD[:100], GOOD[100:]))
    connector = vendors.asking(server, vendor)

    assert generate("a lamp", connector=connector) == good()
    assert generate("a lamp", connector=connector, on_text=pieces.append) == good()
    assert "".join(pieces) == GOOD
    assert len(pieces) > 1


def test_a_refusal_and_an_error_are_raised(server: Loopback) -> None:
    """What is no answer is the connector's own error, and nothing is asked again (S3-25)."""
    server.script(reply("I'm sorry, I can't do that."), failure(401, "bad key"))

    with pytest.raises(LLMOutputError, match="declined"):
        generate("a lamp", connector=asking(server))
    with pytest.raises(LLMStatusError):
        generate("a lamp", connector=asking(server))
    assert len(server.requests) == 2


def test_an_agent_that_does_not_run_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Valid is not enough: where its agent fails, that goes back to the model (S3-25)."""
    tried: list[Spec] = []

    def run_once(spec: Spec) -> None:
        tried.append(spec)
        if len(tried) == 1:
            raise GMNError("the belief about `room` is no probability after step 1")

    monkeypatch.setattr("llmport_magic.gmn.writing.drafting.run_once", run_once)
    mock = MockConnector(answers=[GOOD, BRIGHTER])

    assert generate("a lamp", connector=mock) == parse(BRIGHTER)
    assert "no probability after step 1" in mock.calls[1].messages[-1].content


def test_pieces_arrive_as_they_come(server: Loopback) -> None:
    """`on_text` sees the answer before it is whole; it may be a coroutine function (S3-60)."""
    shown, seen = threading.Event(), list[str]()

    async def note(piece: str) -> None:
        seen.append(piece)
        shown.set()

    # The rest of it is not sent before its start has been shown.
    server.script(streamed(GOOD[:50], shown, GOOD[50:]))
    generate("a lamp", connector=asking(server), on_text=note)

    assert "".join(seen) == GOOD


def test_the_start_of_an_answer_is_shown_with_it() -> None:
    """What a small model is given to begin with comes first, so that the pieces are the whole."""

    class Small(MockConnector):
        capabilities = LLMCapabilities(size="small", prefill=True)

    pieces: list[str] = []
    small = Small(answers=[GOOD.removeprefix("agent")])

    assert generate("a lamp", connector=small, on_text=pieces.append) == good()
    assert "".join(pieces) == GOOD


# -- refinement ----------------------------------------------------------------------------------


def test_a_refinement_is_validated(server: Loopback) -> None:
    """A bad change is repaired like a bad draft, and the difference can be seen (S3-40)."""
    server.script(reply(WRONG_SHAPE), reply(BRIGHTER))
    old = good()
    new = refine(old, "want it brighter", connector=asking(server))

    assert new == parse(BRIGHTER)
    changed = [line for line in old.diff(new).splitlines() if line[:1] in "+-"][2:]
    assert [line[0] for line in changed] == ["-", "+"]
    assert "goal(bright, 4.0)" in changed[1]
    assert old.diff(old) == ""


def test_a_failing_refinement_leaves_the_old(server: Loopback) -> None:
    """Where no answer is valid an error is raised, and the old one is as it was (S3-40)."""
    server.always(reply(WRONG_SHAPE))
    old = good()
    before = old.to_text()
    with pytest.raises(GMNOutputError):
        refine(old, "make it wrong", connector=asking(server))

    assert old == parse(before)


def test_an_unchanged_answer_is_told() -> None:
    """A model that gives back what it got causes a warning (S3-40)."""
    with pytest.warns(UserWarning, match="gave the specification back as it was"):
        assert refine(good(), "paint it red", connector=MockConnector(answers=[GOOD])) == good()
    with no_warning():
        refine(good(), "brighter", connector=MockConnector(answers=[BRIGHTER]))


@pytest.mark.parametrize("feedback", ["", "   "])
def test_no_feedback_is_refused(feedback: str) -> None:
    """Nothing is asked for an empty feedback (S3-40)."""
    mock = MockConnector()
    with pytest.raises(ValueError, match="say what should change"):
        refine(good(), feedback, connector=mock)
    assert mock.calls == []


def test_a_bad_specification_is_not_refined() -> None:
    """What is to be changed must be valid itself (S3-40)."""
    mock = MockConnector()
    with pytest.raises(GMNError, match="sense"):
        refine(WRONG_SHAPE, "brighter", connector=mock)
    assert mock.calls == []


def test_text_and_mappings_are_refined() -> None:
    """A specification may be given as text, as JSON or as it is (S3-40)."""
    for source in (GOOD, good().to_json(), good()):
        new = refine(source, "brighter", connector=MockConnector(answers=[BRIGHTER]))
        assert isinstance(new, Spec)
        assert new == parse(BRIGHTER)


async def test_it_works_in_any_loop() -> None:
    """The coroutine runs in the caller's own loop."""
    spec = await drafted(MockConnector(), Wish.of("a trader", "trader"))

    assert spec.agent_type == "trader"
