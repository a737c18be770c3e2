"""What is wrong with a short way to write an array is said in a line, with what to write."""

from __future__ import annotations

import re

import pytest
from gmn_axes import actions, seen, state

from llmport_magic.gmn.arrays.constructors import Axis, expand
from llmport_magic.gmn.arrays.constructors.axes import Place
from llmport_magic.gmn.notation.nodes import Call, Value
from llmport_magic.gmn.notation.text import read_value

ROOMS, SIGHT, GO = state("rooms", 20), seen("sight", 3, "a", "b", "c"), actions("go", 5)
TWO = state("two", 2, "off", "on")


@pytest.mark.parametrize(
    ("text", "axes", "place", "message"),
    [
        (
            "grid(5, 5)",
            (ROOMS, ROOMS, GO),
            "transition",
            (
                "`grid(5, 5)`: 5 x 5 has 25 cells, `rooms` has 20 states: write `size: 25` or "
                "`grid(4, 5)`"
            ),
        ),
        (
            "grid(7, 3)",
            (ROOMS, ROOMS, GO),
            "transition",
            "`grid(7, 3)`: 7 x 3 has 21 cells, `rooms` has 20 states: write `size: 21`",
        ),
        (
            "grid",
            (ROOMS, ROOMS, GO),
            "transition",
            "`grid`: `rooms` has no `shape`: write `grid(rows, columns)`",
        ),
        (
            "grid(4, 5)",
            (ROOMS, ROOMS),
            "transition",
            "`grid(4, 5)`: it needs a control: name an action node in `from`, after `rooms`",
        ),
        (
            "grid(4, 5)",
            (ROOMS, ROOMS, actions("go", 3)),
            "transition",
            (
                "`grid(4, 5)`: `go` has 3 actions, expected 4 to 5: `up`, `right`, `down`, `left`, "
                "`stay`"
            ),
        ),
        (
            "grid(4, 5)",
            (ROOMS, ROOMS, actions("go", 2, "up", "pick")),
            "transition",
            (
                "`grid(4, 5)`: it is not clear where the action `pick` of `go` leads: label the "
                "actions `up`, `right`, `down`, `left`, `stay`"
            ),
        ),
        (
            "grid(4, 5)",
            (ROOMS, ROOMS, actions("go", 2, "up", "north")),
            "transition",
            "`grid(4, 5)`: the actions `up`, `north` of `go` are the same move",
        ),
        (
            "grdi(4, 5)",
            (ROOMS, ROOMS, GO),
            "transition",
            (
                "unknown constructor `grdi`: did you mean `grid`? there are `identity`, `noisy`, "
                "`copy`, `near`, `map`, `by`, `where`, `grid`, `line`, `cycle`, `drift`, `goto`, "
                "`latch`, `absorbing`, `uniform`, `onehot`"
            ),
        ),
        (
            "grid(4, 5, 0.1, false, [], 3)",
            (ROOMS, ROOMS, GO),
            "transition",
            (
                "`grid(4, 5, 0.1, false, [], 3)`: too many positional arguments; it is "
                "`grid(rows, columns, slip=0.0, wrap=false, walls=[])`"
            ),
        ),
        (
            "noisy",
            (SIGHT, state("s", 3)),
            "emission",
            "`noisy`: missing a required argument: 'p'; it is `noisy(p)`",
        ),
        (
            "noisy(0.9, q=2)",
            (SIGHT, state("s", 3)),
            "emission",
            "`noisy(0.9, q=2)`: got an unexpected keyword argument 'q'; it is `noisy(p)`",
        ),
        (
            "grid(cols=5)",
            (ROOMS, ROOMS, GO),
            "transition",
            (
                "`grid(cols=5)`: it has no `cols` (did you mean `columns`?); it is "
                "`grid(rows, columns, slip=0.0, wrap=false, walls=[])`"
            ),
        ),
        (
            "noisy(90)",
            (SIGHT, state("s", 3)),
            "emission",
            "`noisy(90)`: `p` is a probability from 0 to 1, found `90`",
        ),
        (
            "noisy(true)",
            (SIGHT, state("s", 3)),
            "emission",
            "`noisy(true)`: `p` is a number, found `true`",
        ),
        (
            "noisy(0.9)",
            (SIGHT, state("s", 4)),
            "emission",
            (
                "`noisy(0.9)`: as many of both are needed: `sight` has 3 observations, `s` has 4 "
                "states"
            ),
        ),
        (
            "identity",
            (SIGHT, TWO, state("s", 3)),
            "emission",
            "`identity`: it is not clear of what: `sight` depends on `two`, `s`: write `copy(two)`",
        ),
        (
            "copy(tow)",
            (SIGHT, TWO),
            "emission",
            (
                "`copy(tow)`: `tow` is not among what `sight` depends on: here it can be `two`; "
                "what it depends on is listed in `from`"
            ),
        ),
        (
            "grid(1, 3)",
            (SIGHT, state("s", 3)),
            "emission",
            (
                "`grid` may stand in transition; in emission there are `identity`, `noisy`, "
                "`copy`, `near`, `map`, `by`, `where`, `uniform`, `onehot`"
            ),
        ),
        (
            "map([a, d])",
            (SIGHT, TWO),
            "emission",
            "`map([a, d])`: `sight` has no observation `d`: it has `a`, `b`, `c`",
        ),
        (
            "map([a])",
            (SIGHT, TWO),
            "emission",
            "`map([a])`: a list of 2 for the 2 states of `two`, found 1",
        ),
        (
            "map([0, 1])",
            (SIGHT, TWO, state("s", 2)),
            "emission",
            "`map([0, 1])`: say what the list goes over: `of=` one of `two`, `s`",
        ),
        (
            "by(two, [uniform])",
            (SIGHT, TWO),
            "emission",
            "`by(two, [uniform])`: a list of 2 matrices for the 2 states of `two`, found 1",
        ),
        (
            "by(two, on=a)",
            (SIGHT, TWO),
            "emission",
            "`by(two, on=a)`: one matrix for each state of `two`: `off` missing",
        ),
        (
            "by(two, [a, noisy(7)])",
            (SIGHT, TWO, state("s", 3)),
            "emission",
            "`noisy(7)`: `p` is a probability from 0 to 1, found `7`",
        ),
        (
            "line",
            (TWO, TWO, actions("go", 2, "first", "second")),
            "transition",
            (
                "`line`: it is not clear where the action `first` of `go` leads: label the actions "
                "`left`, `right`, `stay`, or write `line(steps=[ … ])`"
            ),
        ),
        (
            "line(steps=[1])",
            (TWO, TWO, GO),
            "transition",
            "`line(steps=[1])`: `steps` has 1 of 5 numbers, those for `go`",
        ),
        (
            "drift(0.6, 0.6)",
            (TWO, TWO),
            "transition",
            "`drift(0.6, 0.6)`: `up` and `down` are together at most 1, found 1.2",
        ),
        (
            "goto",
            (TWO, TWO, GO),
            "transition",
            (
                "`goto`: `go` has 5 actions, `two` has 2 states: give each action the label of a "
                "state, or write `map([ … ], of=go)`"
            ),
        ),
        (
            "goto",
            (TWO, TWO, actions("go", 2, "on", "wait")),
            "transition",
            (
                "`goto`: action 0 of `go` is called like state 1 of `two`, but not every action "
                "is called like a state: give all actions names of states, or write "
                "`map([ … ], of=go)`"
            ),
        ),
        (
            "latch(rooms, [1, 2, 3])",
            (TWO, TWO),
            "transition",
            (
                "`latch(rooms, [1, 2, 3])`: `rooms` is not among what `two` depends on: here it "
                "can be `two`; what it depends on is listed in `from`"
            ),
        ),
        (
            "latch(rooms, [1, 2, 3])",
            (SIGHT, SIGHT, ROOMS),
            "transition",
            "`latch(rooms, [1, 2, 3])`: a memory of `[1, 2, 3]` has 2 or 4 states, `sight` has 3",
        ),
        (
            "goal(25)",
            (ROOMS,),
            "preference",
            "`goal(25)`: `rooms` has no state `25`: they are numbered 0 to 19",
        ),
        (
            "goal(-1)",
            (ROOMS,),
            "preference",
            "`goal(-1)`: `rooms` has no state `-1`: they are numbered 0 to 19",
        ),
        (
            "goal(1.5)",
            (ROOMS,),
            "preference",
            "`goal(1.5)`: `1.5` names no state of `rooms`: they are numbered 0 to 19",
        ),
        (
            "goal([])",
            (ROOMS,),
            "preference",
            "`goal([])`: an empty list names no state of `rooms`: they are numbered 0 to 19",
        ),
        (
            "goal([3, 3])",
            (state("rooms", 20, shape=(4, 5)),),
            "preference",
            "`goal([3, 3])`: `[3, 3]` names 3 twice: for row 3, column 3 write 18",
        ),
        (
            "goal(onn)",
            (TWO,),
            "preference",
            "`goal(onn)`: `two` has no state `onn`: did you mean `on`? it has `off`, `on`",
        ),
        (
            "sum",
            (TWO,),
            "preference",
            "`sum`: there is nothing to add: write `sum(goal(0), avoid(1))`",
        ),
        (
            "3",
            (TWO,),
            "preference",
            (
                "`3` is no vector: write a list of numbers, or one of `uniform`, `onehot`, `goal`, "
                "`avoid`, `toward`, `sum`"
            ),
        ),
        (
            "onn",
            (TWO,),
            "initial",
            (
                "unknown constructor `onn`: did you mean `on`? there are `uniform`, `onehot`; "
                "`two` has `off`, `on`"
            ),
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    text: str, axes: tuple[Axis, ...], place: Place, message: str
) -> None:
    """An error names what was expected, what was found and what to write (S3-33)."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        expand(read_value(text), axes, place)


def test_nesting_has_an_end() -> None:
    """Constructors in constructors are refused before Python's own limit is met."""
    value: Value = "goto"
    for _ in range(5_000):
        value = Call("absorbing", (value, 0))

    with pytest.raises(ValueError, match="nested more than 12 deep"):
        expand(value, (TWO, TWO, actions("go", 2)), "transition")


def test_hints_cost_little() -> None:
    """A wrong name among very many labels is told as fast as a right one."""
    axis = state("many", 100_000, *(f"label_{number}" for number in range(100_000)))

    with pytest.raises(ValueError, match=r"\(100000 in all\)"):
        expand(read_value("goal(" + "x" * 5_000 + ")"), (axis,), "preference")
