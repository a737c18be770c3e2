"""Short ways to write an array: each stands for exactly one, and its columns sum to one."""

from __future__ import annotations

import inspect
import itertools
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gmn_axes import actions, emitted, lands, moved, seen, state, vector

from llmport_magic.gmn.arrays.constructors import CONSTRUCTORS, Axis, expand
from llmport_magic.gmn.arrays.constructors.axes import MATRICES, Place
from llmport_magic.gmn.notation.nodes import Call
from llmport_magic.gmn.notation.text import read_value

# -- what each stands for ------------------------------------------------------------------------


def test_identity_and_noisy() -> None:
    """What follows is what is there, surely or with probability p and the rest even."""
    sight, place = seen("sight", 3), state("place", 3)

    assert emitted("identity", sight, place).tolist() == np.eye(3).tolist()
    noisy = emitted("noisy(0.8)", sight, place)
    assert np.allclose(noisy, [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    # Every other axis is repeated over.
    lasting = moved("noisy(0.8)", place, state("other", 4), actions("go", 2))
    assert lasting.shape == (3, 3, 4, 2)
    assert all(np.allclose(lasting[..., i, j], noisy) for i in range(4) for j in range(2))


def test_one_state_is_certain() -> None:
    """With one state alone there is nothing else for the rest to be spread over."""
    one, sight = state("one", 1), seen("sight", 1)

    for text in ("identity", "noisy(0.3)", "near(0.3)", "onehot(0, 0.2)", "copy(one, 0.1)"):
        assert emitted(text, sight, one).tolist() == [[1.0]], text


def test_copy_takes_one_of_several() -> None:
    """`copy` looks at the factor that is named, whatever the others are."""
    context, place, hint = state("context", 2), state("place", 3), seen("hint", 2)

    array = emitted("copy(context, 0.9)", hint, place, context)
    assert array.shape == (2, 3, 2)
    assert np.allclose(array[:, 1], [[0.9, 0.1], [0.1, 0.9]])
    # In a transition it is a memory of one step before.
    memory = state("memory", 3)
    before = moved("copy(place)", memory, place)
    assert [lands(before[:, 2, at]) for at in range(3)] == [0, 1, 2]


def test_near_spreads_over_neighbours() -> None:
    """`near` confuses what lies beside: before and after, or the cells around in a grid."""
    line = emitted("near(0.8)", seen("o", 4), state("s", 4))
    assert np.allclose(line[:, 0], [0.8, 0.2, 0, 0])
    assert np.allclose(line[:, 2], [0, 0.1, 0.8, 0.1])

    cells = emitted("near(0.6)", seen("o", 9), state("s", 9, shape=(3, 3)))
    assert np.allclose(cells[:, 4], [0, 0.1, 0, 0.1, 0.6, 0.1, 0, 0.1, 0])
    assert np.allclose(cells[:, 0], [0.6, 0.2, 0, 0.2, 0, 0, 0, 0, 0])
    assert np.allclose(
        emitted("near(0.8, s)", seen("o", 4), state("t", 2), state("s", 4))[:, 1], line
    )


def test_map_gives_what_is_listed() -> None:
    """State i gives what is at place i of the list; lists in lists go over several axes."""
    weather = seen("weather", 3, "sun", "rain", "snow")
    season, hill = state("season", 2, "summer", "winter"), state("hill", 2)

    assert lands(emitted("map([sun, 2])", weather, season)) == [0, 2]
    assert np.allclose(emitted("map([0, 0], 0.8)", weather, season)[:, 1], [0.8, 0.1, 0.1])
    assert lands(emitted("map([[sun, rain], [rain, snow]])", weather, season, hill)) == [
        [0, 1],
        [1, 2],
    ]
    assert lands(moved("map([1, 0], of=go)", hill, actions("go", 2)))[0] == [1, 0]


def test_by_gives_one_matrix_for_each() -> None:
    """`by` has one matrix for each state of what it names, over what is left."""
    reward = seen("reward", 3, "none", "win", "loss")
    place, context = state("place", 3, "centre", "left", "right"), state("context", 2)
    text = """by(place, [onehot("none"), by(context, [[0, 0.9, 0.1], [0, 0.2, 0.8]]),
               by(context, [loss, 1])])"""

    array = emitted(text, reward, place, context)
    assert array.shape == (3, 3, 2)
    assert array[:, 0].tolist() == [[1, 1], [0, 0], [0, 0]]
    assert array[:, 1].tolist() == [[0, 0], [0.9, 0.2], [0.1, 0.8]]
    assert array[:, 2].tolist() == [[0, 0], [0, 1], [1, 0]]
    # By label in any order, and over an axis that is not the first.
    labelled = "by(place, right=loss, centre=0, left=map([win, loss]))"
    assert lands(emitted(labelled, reward, context, place)) == [[0, 1, 2], [0, 2, 2]]


def test_where_is_one_matrix_or_another() -> None:
    """`where` has one matrix for the states that are listed, and another for all others."""
    hint = seen("hint", 3, "nothing", "left", "right")
    place, context = state("place", 4, "a", "b", "c", "cue"), state("context", 2)

    array = emitted("where(place, cue, map([left, right]), onehot(nothing))", hint, place, context)
    assert lands(array) == [[0, 0], [0, 0], [0, 0], [1, 2]]


def test_vectors() -> None:
    """Beliefs are probabilities; preferences are added, and 0 where nothing is said (S3-35)."""
    place = state("place", 4, "a", "b", "c", "d", shape=(2, 2))

    assert vector("uniform", place, "initial") == [0.25] * 4
    assert vector("uniform([a, 3])", place, "initial") == [0.5, 0, 0, 0.5]
    assert np.allclose(vector("onehot(b, 0.7)", place, "initial"), [0.1, 0.7, 0.1, 0.1])
    assert vector("c", place, "initial") == [0, 0, 1, 0]
    assert vector("uniform", place) == [0] * 4
    assert vector("onehot(2)", place) == [0, 0, 1, 0]
    assert vector("goal(d, 3.0)", place) == [0, 0, 0, 3]
    assert vector("goal([0, d])", place) == [1, 0, 0, 1]
    assert vector("avoid(1, 2)", place) == [0, -2, 0, 0]
    assert vector("toward(3, 0.5)", place) == [-1, -0.5, -0.5, 0]
    assert vector("toward(0)", state("line", 3)) == [0, -1, -2]
    assert vector("sum(goal(3, 2), avoid([0, 1]), [0, 0, 0.5, 0])", place) == [-1, -1, 0.5, 2]


# -- all of them, everywhere ---------------------------------------------------------------------

# For every constructor what it takes in a world of 6 states: `rooms` depends on itself, on a
# switch of 2 states and on 6 actions.
WRITTEN = {
    "identity": ["identity"],
    "noisy": ["noisy(0.7)", "noisy(1)", "noisy(0)"],
    "copy": ["copy(rooms)", "copy(rooms, 0.4)"],
    "near": ["near(0.5)", "near(0.5, rooms)"],
    "map": ["map([0, 1, 2, 3, 4, 0], of=rooms)", "map([5, 1], 0.3, of=switch)"],
    "by": ["by(switch, [uniform, onehot(1)])", "by(rooms, [0, 1, 2, 3, uniform, onehot(4, 0.1)])"],
    "where": ["where(rooms, [1, 2], 3, uniform)", "where(switch, 0, 2, onehot(1, 0.3))"],
    "grid": ["grid(2, 3, slip=0.1)", "grid(3, 2, 0.2, true)", "grid(2, 3, walls=[1, 2])"],
    "line": [
        "line(0.1)",
        "line(steps=[1, -2, 7, 0, 3])",
        "line(wrap=true, steps=[1, 2, 3, 4, -9])",
    ],
    "cycle": ["cycle", "cycle(7, 0.4)"],
    "drift": ["drift", "drift(0.5, 0.5)"],
    "goto": ["goto", "goto(0.6)"],
    "latch": ["latch(switch, 1)", "latch(switch, [0, 1])"],
    "absorbing": ["absorbing(uniform, [0, 5])", "absorbing(noisy(0.2), 3)"],
    "uniform": ["uniform", "uniform([0, 3])"],
    "onehot": ["onehot(4)", "onehot(0, 0.3)"],
    "goal": ["goal([1, 2], 3.5)"],
    "avoid": ["avoid(5)"],
    "toward": ["toward(2, 0.1)"],
    "sum": ["sum(goal(1), avoid(2))"],
}
CONTROLS = {
    "grid": actions("go", 5),
    "line": actions("go", 5, "a", "b", "c", "d", "e"),
    "goto": actions("go", 6),
}


def _worlds(name: str, text: str, place: Place) -> Iterator[tuple[Axis, ...]]:
    """Give the axes that a constructor can have in a place, its sources in every order."""
    size = {"latch": 3 if "[" in text else 2}.get(name, 6)
    rooms, switch = state("rooms", size), state("switch", 2)
    if place not in MATRICES:
        yield (rooms,)
        return
    one_source = place == "emission" and name in {"identity", "noisy", "near"}
    if one_source and text != "near(0.5, rooms)":
        yield (seen("sight", size), rooms)
        return
    to = rooms if place == "transition" else seen("sight", size)
    for sources in itertools.permutations((rooms, switch)):
        control = CONTROLS.get(name, actions("go", 4))
        if text == "line(0.1)":
            control = actions("go", 3)
        yield (to, *sources, *((control,) if place == "transition" else ()))


def test_a_sum_needs_no_memory_for_its_parts() -> None:
    """Thousands of preferences are added one by one, however long each is (S3-36)."""
    many = Call("sum", (Call("goal", (7, 0.5)),) * 2_000)
    tracemalloc.start()
    try:
        array = expand(many, (seen("o", 10_000),), "preference")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (array[7], array.sum()) == (1_000, 1_000)
    assert peak < 20_000_000


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_every_column_sums_to_one(name: str) -> None:
    """Every constructor gives probabilities in every place where it may stand (S3-34)."""
    assert WRITTEN.keys() == CONSTRUCTORS.keys()
    for place, text in itertools.product(CONSTRUCTORS[name].places, WRITTEN[name]):
        if place == "preference" and text == "uniform([0, 3])":
            continue
        for axes in _worlds(name, text, place):
            array = expand(read_value(text), axes, place)

            assert array.shape == tuple(axis.size for axis in axes)
            assert array.dtype == np.float64
            assert np.isfinite(array).all()
            if place != "preference":
                assert array.min() >= 0, text
                assert np.allclose(array.sum(axis=0), 1, atol=1e-12), (text, axes)


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_what_is_written_of_a_constructor_is_true(name: str) -> None:
    """The signature has the arguments and defaults of the function, and the example can be read."""
    known = CONSTRUCTORS[name]
    parameters = list(inspect.signature(known.make).parameters.values())[1:]
    inside = known.signature.partition("(")[2].removesuffix(")")
    # What stands for a list or for anything is no name.
    words = re.findall(r"(?<![\[\w])([a-z_]+)(?:=([^,\]]+))?", re.sub(r"\[[^\]]*\]", "x", inside))
    plain = [each for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]

    assert len(words) == len(plain), known.signature
    for (word, default), parameter in zip(words, plain, strict=True):
        assert word in {parameter.name, "x", "matrix", "vector"}, known.signature
        if default and default not in {"x", "own", "all", "NAME"}:
            assert default == str(parameter.default).lower()
    assert known.meaning
    assert "\n" not in known.meaning
    assert getattr(read_value(known.example), "name", known.example) == name


def test_the_page_lists_every_constructor() -> None:
    """The table of `docs/gmn.md` is what the registry says of its constructors."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "gmn.md").read_text("utf-8")
    section = page.partition("\n## Constructors\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]

    assert rows == [
        f"| `{known.signature}` | {', '.join(known.places)} | "
        f"{f'{known.meaning} {known.details}'.strip()} | `{known.example}` |"
        for known in CONSTRUCTORS.values()
    ]
