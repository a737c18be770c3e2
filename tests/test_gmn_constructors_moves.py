"""Short ways to write a transition: where one goes by grid, line, time, action and memory."""

from __future__ import annotations

import numpy as np
from gmn_axes import actions, lands, moved, state

from llmport_magic.gmn.arrays.constructors import expand
from llmport_magic.gmn.notation.text import read_value

MOVES = ("up", "right", "down", "left", "stay")


def test_grid_walks() -> None:
    """In a grid one walks by row and column, and stays at the edge; cells go row by row."""
    place, move = state("place", 6), actions("move", 5, *MOVES)
    array = moved("grid(2, 3)", place, move)

    assert array.shape == (6, 6, 5)
    assert np.array(lands(array)).T.tolist() == [
        [0, 1, 2, 0, 1, 2],
        [1, 2, 2, 4, 5, 5],
        [3, 4, 5, 3, 4, 5],
        [0, 0, 1, 3, 3, 4],
        [0, 1, 2, 3, 4, 5],
    ]
    # Actions are known by a word of their labels, else by their order.
    named = moved("grid(2, 3)", place, actions("move", 3, "wait", "go_west", "North"))
    assert np.array_equal(named, array[:, :, [4, 3, 0]])
    assert np.array_equal(moved("grid(2, 3)", place, actions("move", 4)), array[:, :, :4])
    shaped = moved("grid", state("place", 6, shape=(2, 3)), move)
    assert np.array_equal(shaped, array)


def test_grid_slips_wraps_and_has_walls() -> None:
    """With `slip` one stays that often, with `wrap` edges are joined, into `walls` nobody goes."""
    place, move = state("place", 9), actions("move", 4)

    slipping = moved("grid(3, 3, slip=0.25)", place, move)
    assert slipping[1, 4, 0] == 0.75
    assert slipping[4, 4, 0] == 0.25
    assert slipping[1, 1, 0] == 1.0
    assert np.array(lands(moved("grid(3, 3, wrap=true)", place, move)))[0].tolist() == [6, 1, 3, 2]
    walled = np.array(lands(moved("grid(3, 3, walls=[4])", place, move)))
    assert walled[1].tolist() == [1, 2, 1, 0]
    assert walled[3].tolist() == [0, 3, 6, 3]


def test_line_walks() -> None:
    """Along a line one goes by labels, by order, or by steps; at the ends one stays."""
    place = state("place", 4)

    array = moved("line", place, actions("move", 3))
    assert np.array(lands(array)).T.tolist() == [[0, 0, 1, 2], [1, 2, 3, 3], [0, 1, 2, 3]]
    named = moved("line", place, actions("move", 3, "heat", "nothing", "cool"))
    assert np.array_equal(named, array[:, :, [1, 2, 0]])
    stepped = moved("line(steps=[2, -1], slip=0.5)", place, actions("heater", 2, "on", "off"))
    assert stepped[:, 1].tolist() == [[0, 0.5], [0.5, 0.5], [0, 0], [0.5, 0]]
    assert lands(moved("line(steps=1)", place)) == [1, 2, 3, 3]
    assert lands(moved("line(steps=[-1], wrap=true)", place)) == [3, 0, 1, 2]


def test_what_time_does() -> None:
    """`cycle` goes round, `drift` walks at random, and neither asks for the action."""
    place, move = state("place", 4), actions("move", 2)

    assert lands(moved("cycle", place)) == [1, 2, 3, 0]
    assert lands(moved("cycle(-2)", place, move)) == [[2, 2], [3, 3], [0, 0], [1, 1]]
    assert moved("cycle(1, 0.75)", place)[:, 3].tolist() == [0.75, 0, 0, 0.25]
    drifting = moved("drift(0.2, 0.3)", place, move)
    assert np.allclose(drifting[:, 1, 0], [0.3, 0.5, 0.2, 0])
    assert np.allclose(drifting[:, 0, 1], [0.8, 0.2, 0, 0])
    assert np.allclose(drifting[:, 3, 1], [0, 0, 0.3, 0.7])


def test_goto_leads_where_the_action_says() -> None:
    """Action i leads to state i, or to the state that it is called after."""
    place = state("place", 3, "home", "shop", "park")

    assert lands(moved("goto", state("place", 3), actions("go", 3)))[1] == [0, 1, 2]
    named = moved("goto(0.8)", place, actions("go", 2, "go_park", "home"))
    assert np.allclose(named[:, 1], [[0, 0.8], [0.2, 0.2], [0.8, 0]])


def test_latch_remembers() -> None:
    """A latch becomes 1, or a number for each state, and never changes again."""
    place, memory = state("place", 4), state("memory", 2)

    array = moved("latch(place, [1, 3])", memory, place)
    assert lands(array) == [[0, 1, 0, 1], [1, 1, 1, 1]]
    which = moved("latch(place, [1, 3])", state("memory", 3), place)
    assert lands(which) == [[0, 1, 0, 2], [1] * 4, [2] * 4]
    # In whatever order they are listed.
    turned = expand(read_value("latch(place, [1, 3])"), (memory, place, memory), "transition")
    assert np.array_equal(turned, array.swapaxes(1, 2))


def test_absorbing_states_are_never_left() -> None:
    """`absorbing` is another transition whose states listed are never left."""
    place, move = state("place", 3, "a", "b", "c"), actions("move", 3)

    assert lands(moved("absorbing(goto, [b, 2])", place, move)) == [[0, 1, 2], [1] * 3, [2] * 3]
    turned = expand(
        read_value("absorbing(copy(other), 1)"), (place, state("other", 3), place), "transition"
    )
    assert lands(turned) == [[0, 1, 0], [1, 1, 1], [2, 1, 2]]
