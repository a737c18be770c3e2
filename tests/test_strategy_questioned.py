"""When an example is doubted instead of the code."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmport_magic.modules.questioned import questioned
from llmport_magic.modules.strategy import AttemptPlan, AttemptRecord
from llmport_magic.modules.verdict import ExampleOutcome


def outcome(line, got, expected="12.56"):
    """Give an example's outcome: it passed where it gave what was expected."""
    status = "passed" if got == expected else "failed"
    return ExampleOutcome(source="area(2)", line=line, status=status, expected=expected, got=got)


def attempt(number, *got):
    """Give an attempt whose examples gave these values."""
    examples = tuple(outcome(line, value) for line, value in enumerate(got, start=3))
    return AttemptRecord(AttemptPlan(), f"x = {number}", ("no",), examples=examples)


def test_the_words_name_values_example_and_place():
    """The doubt names how many answers agree, both values, the example, and what to do."""
    history = [attempt(1, "12.57"), attempt(2, "12.57"), attempt(3, "1"), attempt(4, "12.57")]

    assert questioned(history, "small") == (
        "3 of 4 answers give 12.57 for `area(2)`, your example says 12.56: is the example right? "
        "If not, correct it (line 3 of the prompt); if it is, say in the prompt how its value "
        "comes about"
    )


def test_small_models_need_three_programs():
    """The same program again is no further witness, nor is one that only looks different."""
    same = [attempt(1, "12.57") for _ in range(5)]
    spaced = AttemptRecord(AttemptPlan(), "x  =  1  # one", examples=same[0].examples)
    two = [*same, spaced, attempt(2, "12.57")]

    assert questioned(two, "small") is None
    assert questioned([*two, attempt(3, "12.57")], "small")


def test_large_models_need_to_say_it_twice():
    """A large model was told what is expected: that it gives its value again is enough."""
    assert questioned([attempt(1, "12.57")], "large") is None
    assert questioned([attempt(1, "12.57"), attempt(1, "12.57")], "large")


def test_an_answer_that_is_wrong_elsewhere_is_no_witness():
    """Only answers for which all other examples pass speak against an example."""
    history = [attempt(number, "12.57", "0") for number in range(5)]

    assert questioned(history, "large") is None


def test_errors_are_no_values():
    """Code that raises or does not end is wrong, however often it does."""
    for got in ("raised NameError: name 'math' is not defined", "did not finish within 20 s", ""):
        history = [attempt(number, got) for number in range(5)]
        assert questioned(history, "large") is None


GOT = st.sampled_from(["12.56", "12.57", "1", "raised KeyError", ""])


@given(
    st.lists(st.tuples(st.integers(1, 4), GOT, GOT), max_size=8),
    st.sampled_from(["small", "large"]),
)
def test_a_doubt_always_has_its_witnesses(told, size):
    """Whatever the answers are, an example is doubted exactly when enough of them agree."""
    history = [attempt(number, first, second) for number, first, second in told]
    witnesses: dict[tuple[int, str], list[int]] = {}
    for number, first, second in told:
        values = {3: first, 4: second}
        failed = {line: got for line, got in values.items() if got != "12.56"}
        if len(failed) == 1:
            ((line, got),) = failed.items()
            if got in {"12.57", "1"}:
                witnesses.setdefault((line, got), []).append(number)
    enough = any(
        len(set(numbers)) >= 3 if size == "small" else len(numbers) >= 2
        for numbers in witnesses.values()
    )

    assert (questioned(history, size) is not None) == enough
