"""A specification that is written and read again is the same; nothing that is read raises."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmport_magic.gmn.notation import reading
from llmport_magic.gmn.notation.building import build
from llmport_magic.gmn.notation.nodes import Call, Value
from llmport_magic.gmn.notation.text import read_text, read_value, write_value
from llmport_magic.gmn.spec import (
    Control,
    Emission,
    Factor,
    Modality,
    Preference,
    Spec,
    Transition,
)

EXPLORER = """
agent explorer { type: explorer, horizon: 3, precision: 16 }
node state location { size: 25, shape: [5, 5], initial: onehot(0) }
node observation sight { size: 25, shape: [5, 5] }
node action move { size: 5, labels: [up, right, down, left, stay] }
node emission see { to: sight, from: location, matrix: noisy(0.9) }
node transition walk { to: location, from: [location, move], matrix: grid(5, 5) }
node preference want { over: sight, values: goal(24, 3.0) }
node habit usual { values: [0.2, 0.8] }
"""

names = st.one_of(
    st.sampled_from(["location", "s1", "état", "状态", "स्थान", "node", "true", "nan", "μ", "_x"]),
    st.from_regex(r"[a-z_]\w{0,8}", fullmatch=True),
).filter(lambda name: name.isidentifier() and reading_name(name))
texts = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp")), min_size=1, max_size=12
)
numbers = st.one_of(
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e290, max_value=1e290),
)
constructors = st.sampled_from(["identity", "uniform", "grid", "noisy", "goal", "sum", "by"])


def reading_name(name: str) -> bool:
    """Whether a name stays as it is when it is read."""
    from llmport_magic.gmn.notation.spellings import name_of

    return name_of(name) == name


@st.composite
def calls(draw: st.DrawFn, inner: st.SearchStrategy[Value]) -> Call:
    """Give any constructor with any arguments."""
    named = draw(st.dictionaries(st.sampled_from(["p", "slip", "wrap"]), inner, max_size=2))
    return Call(draw(constructors), tuple(draw(st.lists(inner, max_size=3))), tuple(named.items()))


plain = st.one_of(numbers, st.booleans(), texts)
nested = st.recursive(
    plain,
    lambda inner: st.one_of(st.lists(inner, max_size=4).map(tuple), calls(inner)),
    max_leaves=12,
)
arrays = st.one_of(
    calls(nested), st.lists(numbers, min_size=1, max_size=5).map(tuple), calls(plain)
)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Give any specification that holds together; its arrays need not fit."""
    found = draw(st.lists(names, min_size=8, max_size=8, unique_by=str.lower))
    labels = draw(st.lists(texts, min_size=2, max_size=4, unique=True))
    state, other, sight, act, see, walk, drift, want = found
    said = draw(st.just("") | texts)
    return Spec(
        name=draw(names),
        factors=(
            Factor(name=state, size=len(labels), labels=tuple(labels), description=said),
            Factor(name=other, size=6, shape=(2, 3), initial=draw(st.none() | arrays)),
        ),
        modalities=(Modality(name=sight, size=draw(st.integers(1, 100_000))),),
        controls=(Control(name=act, size=len(labels), labels=tuple(labels)),),
        emissions=(
            Emission(name=see, to=sight, of=(other, state), matrix=draw(arrays), description=said),
        ),
        transitions=(
            Transition(name=walk, to=state, of=(state,), by=act, matrix=draw(arrays)),
            Transition(name=drift, to=other, of=(other, state), matrix=draw(arrays)),
        ),
        preferences=(Preference(name=want, over=state, values=draw(arrays)),),
        habit=draw(st.none() | arrays),
        agent_type=draw(st.sampled_from(["general", "trader"])),
        horizon=draw(st.integers(1, 1000)),
        precision=draw(st.floats(0.001, 1e6)),
        description=said,
    )


def again(source: Any) -> Spec:
    """Read something that has no errors."""
    nodes, found, _ = reading.read(source)
    spec, more = build(nodes)
    assert [str(each) for each in (*found, *more) if each.level == "error"] == []
    assert spec is not None
    return spec


def test_the_example_stays_the_same() -> None:
    """The text of a specification's text is that text, and both mean the same (S3-37)."""
    spec = again(EXPLORER)
    text = spec.to_text()

    assert again(text) == spec
    assert again(text).to_text() == text
    assert again(spec.to_json()) == spec
    assert again(json.dumps(spec.to_json())) == spec
    assert again(spec) == spec


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs())
def test_any_specification_survives_text_and_json(spec: Spec) -> None:
    """What is written is read as it was, in text, in JSON and as nodes (S3-37)."""
    text = spec.to_text()
    written = json.dumps(spec.to_json())

    assert again(spec) == spec
    assert again(text) == spec
    assert again(text).to_text() == text
    assert again(written) == spec
    text.encode("utf-8")


@settings(max_examples=100, deadline=None)
@given(nested)
def test_any_value_survives(value: Value) -> None:
    """A value is read as it was written, to the type of each number."""
    if isinstance(value, Call) and not value.arguments and not value.named:
        return  # alone it is a word; a specification knows where a word is a constructor
    read = read_value(write_value(value))

    assert read == value
    assert repr(read) == repr(value)


def test_comments_are_not_kept() -> None:
    """A comment is read over, and not written again (S3-37)."""
    spec = again(EXPLORER.replace("goal(24, 3.0) }", "goal(24, 3.0) } # home"))

    assert spec == again(EXPLORER)
    assert "#" not in spec.to_text()


def test_arrays_and_lists_may_be_given() -> None:
    """A specification made in Python may hold arrays, lists and texts of constructors."""
    made = Spec(
        factors=[Factor(name="s", size=np.int64(2), labels=["a", "b"], initial=np.ones(2) / 2)],
        modalities=[Modality(name="o", size=2)],
        emissions=[Emission(name="e", to="o", of="s", matrix=np.eye(2))],
        transitions=[Transition(name="t", to="s", of=["s"], matrix="identity")],
        preferences=[Preference(name="p", over="o", values="goal(b, 2.0)")],
    )

    assert made.factors[0].initial == (0.5, 0.5)
    assert made.emissions[0] == Emission(name="e", to="o", of=("s",), matrix=((1, 0), (0, 1)))
    assert made.transitions[0].matrix == Call("identity")
    assert made.preferences[0].values == Call("goal", ("b", 2.0))
    assert again(made) == again(made.to_text()) == made
    assert hash(made) == hash(again(made))


@pytest.mark.parametrize("wrong", [{"a": 1}, object(), b"x", [{1}], None.__class__])
def test_what_is_no_value_is_refused_in_python(wrong: Any) -> None:
    """A specification made in Python of something else tells what it is."""
    from llmport_magic.errors import GMNError

    with pytest.raises(GMNError, match="is no number, text, list or constructor"):
        Emission(name="e", to="o", of=("s",), matrix=wrong)


def test_long_matrices_are_written_line_by_line() -> None:
    """A matrix that is too wide for a line has a line for each row."""
    matrix = tuple(tuple(1 / 12 for _ in range(12)) for _ in range(12))
    spec = again(EXPLORER)
    wide = Spec(
        **{
            **vars(spec),
            "emissions": (Emission(name="see", to="sight", of=("location",), matrix=matrix),),
        }
    )

    assert len(wide.to_text().splitlines()) > 15
    assert again(wide.to_text()) == wide


# -- what is read raises nothing -------------------------------------------------------------


def check(source: Any) -> None:
    """Read anything: findings within their number, and texts of one line with a place."""
    nodes, found, _ = reading.read(source)
    spec, more = build(nodes)

    for findings in (found, more):
        assert len(findings) <= 20
        assert all("\n" not in each.text and len(each.text) < 500 for each in findings)
        assert all(each.level in ("error", "warning") for each in findings)
    if spec is None:
        assert any(each.level == "error" for each in (*found, *more))
    elif isinstance(source, str) and not any(each.level == "error" for each in found):
        assert again(spec.to_text()) == spec
        assert again(spec.to_json()) == spec


pieces = st.one_of(
    st.sampled_from(
        [*"{}[]():,;=#\"'\\.-+%/*<>|&!\n\t \r\x00\x0c\u202e\ud800\u200b\ufeff\u2028−“"]
    ),
    st.sampled_from(
        [
            "node ",
            "state ",
            "agent",
            "emission",
            "size:",
            "labels: [",
            "matrix: ",
            "grid(5, 5)",
            "0.9",
            "1e999",
            "NaN",
            "none",
            "true",
            "[[1, 0], [0, 1]]",
            "\n}\n",
            "node a b {",
            "état",
        ]
    ),
    st.text(max_size=5),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(pieces, max_size=40).map("".join))
def test_any_text_is_read(text: str) -> None:
    """Random text gives findings, never an exception (S3-31)."""
    nodes, found = read_text(text)
    assert len(found) <= 20
    spec, more = build(nodes)
    if spec is None:
        assert [each for each in (*found, *more) if each.level == "error"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_specification_is_read(data: st.DataObject) -> None:
    """A valid text with pieces put in, cut out or moved gives findings or another one (S3-31)."""
    text = EXPLORER
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 30)))
        text = text[:start] + data.draw(pieces) + text[end:]
    check(text)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(
                st.sampled_from(["kind", "name", "nodes", "agent", "size", "to", "from", "matrix"])
                | st.text(max_size=3),
                inner,
                max_size=5,
            ),
        ),
    ),
    st.sampled_from(["state", "observation", "emission", "agent", "habit", "x"]),
)
def test_any_json_is_read(value: Any, kind: str) -> None:
    """Random JSON gives findings, never an exception (S3-31)."""
    check({"nodes": value})
    check({"nodes": [{"kind": kind, "name": "a", "size": value, "matrix": value, "to": value}]})
    check({"agent": value, "nodes": [{"kind": "state", "name": "s", "labels": value}]})
