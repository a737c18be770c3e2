"""Answers as models write them when they are asked for a specification: good ones and others."""

from __future__ import annotations

import json

from llmport_magic.gmn import Spec, parse

GOOD = """\
agent lamp { type: general, horizon: 2 }
node state room { size: 2, labels: [dark, bright] }
node observation sensor { size: 2, labels: [dark, bright] }
node action switch { size: 2, labels: [off, on] }
node emission sense { to: sensor, from: room, matrix: noisy(0.9) }
node transition light { to: room, from: [room, switch], matrix: goto }
node preference want { over: sensor, values: goal(bright, 2.0) }
"""
# The same with literal matrices of numbers.
NUMBERS = GOOD.replace("noisy(0.9)", "[[0.9, 0.2], [0.1, 0.8]]")
# Three values where there are two.
WRONG_SHAPE = GOOD.replace("noisy(0.9)", "[[0.9, 0.2, 0.0], [0.1, 0.8, 1.0]]")
# A sum of 0.8 in the second column.
NO_PROBABILITY = GOOD.replace("noisy(0.9)", "[[0.9, 0.2], [0.1, 0.6]]")
# Rows that sum to 1.
TRANSPOSED = GOOD.replace("noisy(0.9)", "[[0.9, 0.1], [0.3, 0.7]]")


def line_of(states: int) -> str:
    """Write a specification of a line of so many states."""
    return f"""\
agent walker {{ type: explorer, horizon: 1 }}
node state place {{ size: {states} }}
node observation sight {{ size: {states} }}
node action move {{ size: 3, labels: [left, right, stay] }}
node emission see {{ to: sight, from: place, matrix: identity }}
node transition walk {{ to: place, from: [place, move], matrix: line }}
node preference want {{ over: sight, values: goal({states - 1}, 2.0) }}
"""


def as_json(text: str = GOOD) -> str:
    """Write a specification as JSON."""
    return json.dumps(parse(text).to_json(), indent=2)


def good() -> Spec:
    """Give the good one."""
    return parse(GOOD)


_LINES = GOOD.splitlines()
_TWO = ["\n".join(_LINES[:4]), "\n".join(_LINES[4:])]

# How models wrap what they are asked for; each holds the good one.
WRAPPED = {
    "as asked": GOOD,
    "fenced": f"```gmn\n{GOOD}```",
    "fenced without a tag": f"```\n{GOOD}```",
    "fenced as yaml": f"Here is the specification:\n\n```yaml\n{GOOD}```\n\nIt has two states.",
    "fenced as python": f"```python\n{GOOD}```",
    "an open fence": f"Sure!\n```gmn\n{GOOD}",
    "prose around it": f"This agent has one factor.\n\n{GOOD}\nThe lamp prefers light.",
    "prose in front": f"Sure, here is the specification you asked for:\n\n{GOOD}",
    "windows line ends": f"```gmn\n{GOOD}```".replace("\n", "\r\n"),
    "a thought before it": f"<think>node state x {{ size: }}\nhm</think>\n{GOOD}",
    "json": as_json(),
    "fenced json": f"Here you go:\n```json\n{as_json()}\n```",
    "text inside json": json.dumps({"gmn": GOOD}),
    "json in a table": json.dumps({"specification": parse(GOOD).to_json()}),
    "in two fences": f"Nodes:\n```gmn\n{_TWO[0]}\n```\nand links:\n```gmn\n{_TWO[1]}\n```\n",
    "corrected at the end": f"```gmn\n{WRONG_SHAPE}```\nWait, a slip:\n```gmn\n{GOOD}```",
    "prose between the nodes": "".join(
        f"**{number}.** This is a node:\n\n{line}\n\n"
        for number, line in enumerate(GOOD.splitlines())
    ),
    "with an empty fence": f"```\n```\n```gmn\n{GOOD}```",
    "comments and blank lines": "# A lamp\n\n" + GOOD.replace("\n", "  # why\n\n"),
    "an end token": GOOD + "<|im_end|>",
}
