"""What is too large is refused with its number, and what was asked for is held."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from counting import Compared
from gmn_explorer import EXPLORER, changed

from llmport_magic.gmn.agents.policies import MAX_POLICIES
from llmport_magic.gmn.arrays.constructors import Axis, expand
from llmport_magic.gmn.notation.nodes import Call
from llmport_magic.gmn.validation import parse, validate


def test_what_is_possible_at_once_has_a_limit() -> None:
    """Ten factors of ten states are refused with the number (S3-36)."""
    states = "".join(f"node state s{number} {{ size: 10 }}\n" for number in range(10))
    report = validate(
        f"{states}node observation o {{ size: 10 }}\n"
        "node emission e { to: o, from: s0, matrix: identity }"
    )

    (error,) = report.errors
    assert "= 10,000,000,000 hidden states are possible at once, and 1,000,000 are allowed" in error


@pytest.mark.parametrize(
    ("horizon", "count"),
    [("8", "390,625"), ("20", "95,367,431,640,625"), ("1000", r"about 10^699")],
)
def test_policies_have_a_limit(horizon: str, count: str) -> None:
    """As many policies as the agent would not list are refused, with what to lower (S3-36)."""
    report = validate(changed(("horizon: 3", f"horizon: {horizon}")))

    assert report.errors == (
        (
            f"line 1, column 43: {count} policies (5 actions, `horizon` {horizon}), and "
            f"{MAX_POLICIES:,} are allowed: lower `horizon` to 7, or have fewer actions"
        ),
    )
    assert validate(changed(("horizon: 3", "horizon: 7"))).ok


def test_a_precision_stays_finite_with_any_preference() -> None:
    """A precision that could not be multiplied with a preference is refused (S3-36)."""
    agent = {"name": "explorer", "horizon": 3, "precision": 1e101}
    report = validate(parse(EXPLORER).to_json() | {"agent": agent})
    assert report.errors == ("`precision` of `explorer` may be 1e+100 at most",)

    spec = parse(changed(("horizon: 3", "horizon: 3, precision: 1e100"), ("24, 3.0", "24, 1e100")))
    step = spec.agent().step([18])
    assert step.policies.sum() == pytest.approx(1.0)
    assert spec.controls[0].labels[step.action[0]] in ("right", "down")


def test_size_guards_allocate_nothing() -> None:
    """A matrix of 10^10 numbers is refused, and nothing of its size is made (S3-36)."""
    tracemalloc.start()
    try:
        report = validate(changed(("25", "100000"), (", shape: [5, 5]", "")))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    # Vectors of 100,000 numbers are small; the matrix would take 80 GB.
    assert peak < 10_000_000
    assert len(report.errors) == 2
    assert report.errors[0] == (
        "line 5, column 56: `see` has 100,000 x 100,000 = 10,000,000,000 numbers, and "
        "4,000,000 are "
        "allowed: lower `size` of `sight`, or split it into several nodes"
    )


def test_too_many_nodes_are_not_read_further() -> None:
    """Thousands of nodes are refused with their number before they are compared (S3-36)."""
    text = "".join(f"node state s{number} {{ size: 2 }}\n" for number in range(3_000))

    assert validate(text).errors == (
        "3,000 nodes, and 500 are allowed: describe less, or in fewer nodes",
    )


MANY = [f"w{number}" for number in range(60_000)]


@pytest.mark.parametrize(
    ("state", "matrix", "message"),
    [
        (f"labels: [{', '.join([*MANY, 'w1'])}]", "uniform", "`labels` of `s` has `w1` twice"),
        (
            f"labels: [{', '.join(MANY)}], initial: uniform([{', '.join([*MANY[1:], 'w9'])}])",
            "uniform",
            "names w9 twice",
        ),
        ("size: 2", f"noisy({', '.join(f'{word}=1' for word in MANY)})", "it is `noisy(p)`"),
        ("size: 2", f"noisy({', '.join(f'{word}=1' for word in [*MANY, 'w1'])})", "is given twice"),
    ],
    ids=["labels", "states", "arguments", "twice"],
)
def test_what_is_wrong_with_long_lists_is_told(state: str, matrix: str, message: str) -> None:
    """Tens of thousands of names are compared, and what is wrong with them is told (S3-31)."""
    report = validate(
        f"node state s {{ {state} }}\nnode observation o {{ size: 2 }}\n"
        f"node emission e {{ to: o, from: s, matrix: {matrix} }}\n"
    )

    assert any(message in each for each in report.errors), report.errors


def test_names_are_not_compared_each_with_each() -> None:
    """A name is looked up among the others: no list of names takes their square (S3-31)."""
    names = [Compared(f"w{number}") for number in range(1_000)]
    twice = [*map(Compared, names), Compared("w1")]
    nodes: list[dict[str, Any]] = [
        {"kind": "state", "name": "s", "labels": twice},
        {"kind": "observation", "name": "o", "size": 2},
        {"kind": "emission", "name": "e", "to": "o", "from": "s", "matrix": "uniform"},
    ]
    axis = Axis("s", 1_000, tuple(names))
    listed = Call("uniform", (tuple(twice),))
    named = Call("noisy", (), tuple((each, 1) for each in twice))
    Compared.times = 0

    assert "has `w1` twice" in str(validate({"nodes": nodes}))
    with pytest.raises(ValueError, match="twice"):
        expand(listed, (axis,), "initial")
    with pytest.raises(ValueError, match="twice"):
        expand(named, (axis, axis), "emission")
    assert 0 < Compared.times < 20 * len(names)


@pytest.mark.parametrize(
    ("limits", "line", "message"),
    [
        ({"max_states": 24}, 2, "25 states, and `max_states` is 24: lower `size` of `location`"),
        (
            {"max_observations": 9},
            3,
            "25 observations, and `max_observations` is 9: lower `size` of `sight`",
        ),
        ({"max_actions": 4}, 4, "5 actions, and `max_actions` is 4: lower `size` of `move`"),
        (
            {"horizon": 2},
            1,
            "`horizon` is 3, asked for is 2: write `horizon: 2`",
        ),
        (
            {"horizon": 4},
            1,
            "`horizon` is 3, asked for is 4: write `horizon: 4`",
        ),
    ],
)
def test_what_was_asked_for_is_held(limits: dict[str, int], line: int, message: str) -> None:
    """A specification larger than asked for is refused with both numbers (S3-24)."""
    report = validate(EXPLORER, **limits)

    assert report.spec is None
    (found,) = report.findings
    assert (found.line, found.text) == (line, message)
    met = {"max_states": 25, "max_observations": 25, "max_actions": 5, "horizon": 3}
    assert validate(EXPLORER, max_factors=1, **met).ok


def test_limits_count_all_nodes_of_a_kind_together() -> None:
    """`max_states` is what somebody counts: the states of all nodes added (S3-24)."""
    text = f"{EXPLORER}node state mood {{ size: 2 }}\n"

    assert validate(text, max_states=27).ok
    report = validate(text, max_states=26, max_factors=1)
    assert report.errors == (
        "line 2, column 29: 27 states (25 + 2), and `max_states` is 26: lower `size` of `location`",
        "line 8, column 1: 2 state nodes, and `max_factors` is 1: leave some out",
    )
