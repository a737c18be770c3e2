"""From an answer to a specification, try by try: what is taken, sent back, mended and given up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from drafts import (
    GOOD,
    NO_PROBABILITY,
    NUMBERS,
    TRANSPOSED,
    WRAPPED,
    WRONG_SHAPE,
    good,
    line_of,
)

from llmport_magic.errors import GMNError, GMNOutputError, LLMOutputError, UsageError
from llmport_magic.gmn import parse, validate
from llmport_magic.gmn.writing.drafting import Drafting, tries_of
from llmport_magic.gmn.writing.prompting import Wish, agent_types, texts
from llmport_magic.settings import resolve

LARGE = SimpleNamespace(size="large", prefill=False, grammar=False)
SMALL = SimpleNamespace(size="small", prefill=True, grammar=False)


def drafting(prompt: str = "a lamp", kind: Any = LARGE, **given: Any) -> Drafting:
    """Begin a draft."""
    own = ("tries", "temperature", "seed", "max_tokens")
    options = {name: given.pop(name) for name in own if name in given}
    return Drafting(Wish.of(prompt, **given), kind, **options)


def sent(begun: Drafting) -> str:
    """Give everything that the model is sent now."""
    return "\n".join(message.content for message in begun.next_request().messages)


# -- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", WRAPPED)
def test_the_specification_is_found_in_any_answer(how: str) -> None:
    """Fences of any tag, several of them, prose, thoughts and JSON hide nothing (S3-22)."""
    begun = drafting()
    taken = begun.take(WRAPPED[how])

    assert taken.spec == good()
    assert begun.spec == good()


def test_the_answer_of_dialects_is_read() -> None:
    """An answer in sections is read as well as one in node blocks (S3-22)."""
    nodes = "s: state {num_states: 2}\no: observation {num_observations: 2}\nl: likelihood {}"
    text = f"```\n[nodes]\n{nodes}\n[edges]\ns -> l: depends_on\nl -> o: generates\n```"
    taken = drafting().take(text)

    assert taken.spec is not None, taken.findings
    assert [factor.size for factor in taken.spec.factors] == [2]


def test_the_last_of_several_counts() -> None:
    """Of two that are valid the later one is meant; one with more nodes than both wins (S3-22)."""
    later = GOOD.replace("2.0", "4.0")
    two = drafting().take(f"```gmn\n{GOOD}```\nBetter:\n```gmn\n{later}```")
    short = "\n".join(GOOD.splitlines()[:-1])
    part = drafting().take(f"```gmn\n{GOOD}```\nWithout a wish:\n```gmn\n{short}\n```")

    assert two.spec == parse(later)
    assert validate(short).ok
    assert part.spec == good()


def test_no_fence_ends_an_answer() -> None:
    """A large model is given no stop sequence, so a fence at the beginning ends nothing (S3-22)."""
    assert "stop" not in drafting().next_request().options


def test_an_answer_without_one_is_asked_for_again() -> None:
    """Prose is no specification; the next request is the first one again."""
    begun = drafting()
    before = begun.next_request()
    taken = begun.take("Active inference is a theory of perception and action.")

    assert taken.spec is None
    assert "holds no specification" in taken.findings[0]
    assert begun.next_request().messages == before.messages


@pytest.mark.parametrize(
    ("answer", "reason", "told"),
    [
        ("I'm sorry, I can't help with that.", "stop", "the model declined"),
        ("", "content_filter", "withheld"),
    ],
)
def test_who_declines_is_not_asked_again(answer: str, reason: str, told: str) -> None:
    """A refusal is believed: it is raised at once."""
    with pytest.raises(LLMOutputError, match=told):
        drafting().take(answer, reason)


def test_half_an_answer_is_not_taken() -> None:
    """What was cut off is a finding, however valid it looks."""
    begun = drafting()
    taken = begun.take(GOOD, "length")

    assert taken.spec is None
    assert "cut off" in taken.findings[0]


# -- repair --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [WRONG_SHAPE, NO_PROBABILITY])
def test_what_is_wrong_goes_back(bad: str) -> None:
    """The next request has the answer and the findings, and the next answer counts (S3-25)."""
    begun = drafting()
    taken = begun.take(f"```gmn\n{bad}```")
    request = begun.next_request()

    assert taken.spec is None
    assert "sense" in taken.findings[0]
    assert [str(message.role) for message in request.messages[-2:]] == ["assistant", "user"]
    assert request.messages[-2].content.strip() == bad.strip()
    assert taken.findings[0] in request.messages[-1].content
    assert begun.take(GOOD).spec == good()


def test_it_ends_after_two_repairs() -> None:
    """Three answers at most; the error has the findings and the last text (S3-25)."""
    begun = drafting()
    for number in range(3):
        begun.next_request()
        begun.take(WRONG_SHAPE + f"# {number}\n")

    with pytest.raises(GMNOutputError, match="none of 3 answers is a valid") as caught:
        begun.next_request()
    assert "sense" in caught.value.findings[0]
    assert caught.value.text.endswith("# 2")


def test_how_many_tries_can_be_set() -> None:
    """`tries` of the settings counts; without it a large model has 3, a small one 5 (S3-25)."""
    begun = drafting(tries=1)
    begun.take(WRONG_SHAPE)

    with pytest.raises(GMNOutputError, match=r"^the answer is not a valid"):
        begun.next_request()
    assert tries_of(resolve(tries=2), LARGE) == 2
    assert (tries_of(resolve(), LARGE), tries_of(resolve(), SMALL)) == (3, 5)


def test_the_same_wrong_answer_is_not_sent_back_twice() -> None:
    """A model that is stuck is asked afresh (S3-25)."""
    begun = drafting()
    begun.take(WRONG_SHAPE)
    assert len(begun.next_request().messages) == 4
    begun.take(WRONG_SHAPE)

    assert len(begun.next_request().messages) == 2


def test_twelve_states_under_ten() -> None:
    """A limit holds for the result: 12 states under 10 go back with both numbers (S3-24)."""
    begun = drafting(constraints={"max_states": 10})
    assert "at most 10 states" in sent(begun)
    taken = begun.take(line_of(12))

    assert taken.spec is None
    assert "12 states, and `max_states` is 10" in taken.findings[0]
    assert begun.take(line_of(10)).spec == parse(line_of(10))


def test_a_limit_that_is_never_kept_is_an_error() -> None:
    """Where no answer keeps it, there is no specification (S3-24)."""
    begun = drafting(constraints={"max_states": 10}, tries=2)
    begun.take(line_of(12))
    begun.take(line_of(11))

    with pytest.raises(GMNError, match="11 states"):
        begun.next_request()


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ({"max_actions": 2}, "3 actions"),
        ({"max_observations": 3}, "4 observations"),
        ({"max_factors": 1}, "2 state nodes"),
    ],
)
def test_every_limit_is_enforced(limit: dict[str, int], told: str) -> None:
    """Actions, observations and factors are counted like states (S3-24)."""
    text = line_of(4) + "node state mood { size: 2 }\n"
    taken = drafting(constraints=limit).take(text)

    assert taken.spec is None
    assert any(told in finding for finding in taken.findings)


# -- requests ------------------------------------------------------------------------------------


def test_the_first_request_holds_the_notation() -> None:
    """Grammar, orientation, constructors, the type's hint, limits and examples are sent (S3-20)."""
    from llmport_magic.gmn.arrays.constructors import CONSTRUCTORS

    examples: list[Any] = [line_of(3), good(), parse(line_of(4)).to_json()]
    begun = drafting(
        "find the sheep", agent_type="explorer", constraints={"max_states": 9}, examples=examples
    )
    system, user = begun.next_request().messages

    assert "node transition NAME" in system.content
    assert "first axis of a matrix is what follows" in system.content
    assert [name for name, one in CONSTRUCTORS.items() if one.signature not in system.content] == []
    assert all(parse(each).to_text().strip() in system.content for each in examples)
    assert texts()["types"]["explorer"].strip() in user.content
    assert "at most 9 states" in user.content
    assert user.content.endswith("find the sheep")
    assert "<<" not in system.content + user.content


def test_the_words_arrive_to_the_letter() -> None:
    """Braces, placeholders and blank lines of the prompt stay as they are."""
    prompt = "a {lamp} of <<type>>\n\n\n\nand {{ more }}"

    assert drafting(prompt).next_request().messages[-1].content.endswith(prompt)


def test_temperature() -> None:
    """0.3 unless somebody says otherwise (S3-20)."""
    assert drafting().next_request().options == {"temperature": 0.3}
    options = drafting(temperature=0.0, seed=7, max_tokens=50).next_request().options
    assert options == {"temperature": 0.0, "seed": 7, "max_tokens": 50}


def test_an_unknown_type_is_named_with_the_known() -> None:
    """The error lists the types, and the nearest (S3-23)."""
    with pytest.raises(ValueError, match=r"`explorr`: did you mean `explorer`\?") as caught:
        Wish.of("x", "explorr")
    assert all(name in str(caught.value) for name in agent_types())
    assert agent_types() == ("general", "explorer", "trader", "coordinator", "analyst", "creative")
    assert Wish.of("x", " Explorer ").agent_type == "explorer"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"max_state": 5}, r"`max_state`: did you mean `max_states`\?"),
        ({"colour": "red"}, "`colour`: use max_states, .* say the rest in the prompt"),
        ({"max_states": 0}, "`max_states` is a number of 1 or more, not `0`"),
        ({"max_states": "5"}, "not `5`"),
        ({"horizon": True}, "not `True`"),
        ({"horizon": 1001}, "`horizon` is 1,001, and 1,000 is the most"),
        ([3], r"constraints have names, as .*, unlike `\[3\]`"),
    ],
)
def test_bad_constraints_are_refused(given: Any, told: str) -> None:
    """What cannot be enforced is not taken silently (S3-24)."""
    with pytest.raises(ValueError, match=told):
        Wish.of("x", constraints=given)
    assert Wish.of("x", constraints={"max_states": None, "horizon": 1000}).constraints == {
        "horizon": 1000
    }


def test_examples_are_checked() -> None:
    """Three at most, and each must be valid: a wrong one teaches what is wrong (S3-20)."""
    with pytest.raises(UsageError, match="4 examples are too many"):
        Wish.of("x", examples=[GOOD] * 4)
    with pytest.raises(GMNError, match=r"example 2 is no valid specification: .*sense"):
        Wish.of("x", examples=[GOOD, WRONG_SHAPE])
    assert len(Wish.of("x", examples=GOOD).examples) == 1


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_nothing_is_no_wish(prompt: str) -> None:
    """An empty prompt or feedback is refused before anything is asked (S3-40)."""
    with pytest.raises(ValueError, match="in a sentence"):
        Wish.of(prompt)
    with pytest.raises(ValueError, match="say what should change"):
        Wish.of(prompt, current=good())


@pytest.mark.parametrize("prompt", [None, 5])
def test_what_is_no_text_is_no_wish(prompt: Any) -> None:
    """A prompt that is no text is refused: `None` would be asked for as a word (S3-20)."""
    with pytest.raises(UsageError, match="the prompt is a text, not"):
        Wish.of(prompt)


def test_a_change_sends_what_is_there() -> None:
    """A refinement has the whole specification, its type and the feedback (S3-40)."""
    begun = Drafting(Wish.of("make it dim", current=good()), LARGE)
    last = begun.next_request().messages[-1].content

    assert good().to_text().strip() in last
    assert last.endswith("make it dim")


# -- small models --------------------------------------------------------------------------------


def test_a_small_model_is_shown_examples() -> None:
    """Short words, four requests with their answers, and the start of its own answer."""
    request = drafting("a boat", SMALL).next_request()
    roles = [str(message.role) for message in request.messages]

    assert roles == ["system", *("user", "assistant") * 4, "user"]
    assert len(request.messages[0].content) < 1_500
    assert request.options["prefill"] == "```gmn\nagent"
    assert request.options["temperature"] == 0.0
    assert request.opening == "agent"


def test_what_small_models_are_shown_is_valid() -> None:
    """Each example is a specification that runs, and so is the one of large models."""
    shown = [one["answer"] for one in texts()["shown"]]
    system = texts()["system"]
    shown.append(system[system.index("agent courier") : system.index("<<examples>>")])

    for text in shown:
        begun = drafting()
        taken = begun.take(text)
        assert taken.spec is not None, taken.findings
        assert not [each for each in taken.warnings if "never changes" not in each]


def test_small_models_begin_within_the_fence() -> None:
    """The opening belongs to the answer, unless the model wrote it once more."""
    rest = GOOD.removeprefix("agent")

    assert drafting(kind=SMALL).take(rest).spec == good()
    assert drafting(kind=SMALL).take(GOOD).spec == good()
    assert drafting(kind=SMALL).take(f"```gmn\n{GOOD}```").spec == good()


def test_small_models_get_fresh_samples() -> None:
    """Greedy, a repair, then samples with seeds of their own, told and afresh in turn."""
    begun = drafting(kind=SMALL)
    seen = []
    for _ in range(5):
        request = begun.next_request()
        seen.append((begun.style, request.options["temperature"], request.options["seed"]))
        begun.take(WRONG_SHAPE)

    assert seen == [
        ("chat", 0.0, 0),
        ("repair", 0.0, 1),
        ("chat", 0.8, 2),
        ("repair", 0.8, 3),
        ("chat", 0.8, 4),
    ]
    with pytest.raises(GMNOutputError, match="none of 5"):
        begun.next_request()


def test_the_answer_gets_its_type() -> None:
    """A specification that names no type gets the one that was asked for."""
    taken = drafting(agent_type="trader").take(GOOD)

    assert taken.spec is not None
    assert taken.spec.agent_type == "trader"


def test_numbers_are_as_good_as_constructors() -> None:
    """Matrices that are written out are taken as they stand."""
    taken = drafting().take(NUMBERS)

    assert taken.spec is not None
    assert taken.spec.A[0].tolist() == [[0.9, 0.2], [0.1, 0.8]]
    assert TRANSPOSED != NUMBERS
