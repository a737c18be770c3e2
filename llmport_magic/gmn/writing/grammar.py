"""Grammars for models whose sampling can be held to one: what they then write can be read.

They are in llama.cpp's form of BNF ("GBNF", https://github.com/ggml-org/llama.cpp/blob/master/
grammars/README.md, read 2026-11-21). `whole()` is the grammar of a specification that small models
are shown: one node a line, sizes or labels, constructors of the registry instead of numbers.
`rest()` is of what is still missing behind nodes that are there: it names them, and offers only
the constructors that the registry makes an array of for them, so that it cannot end wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from llmport_magic.gmn.arrays.constructors import CONSTRUCTORS, Axis, Place, expand
from llmport_magic.gmn.notation.values import read_value

if TYPE_CHECKING:
    from llmport_magic.gmn.spec import Spec

# What ends the answer: the fence that the opening has begun.
END = "\n```"
# A longer list is no longer one that a small model counts.
_LONGEST_LIST = 12
_MOST_FACTORS = 3
_MOST_STEPS = 4
# What follows, and one thing that it depends on.
_OVER_ONE = 2
# Letters of the scripts that most people write, so that a request in Greek keeps its words.
_LETTERS = (
    r"a-zA-Z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0391-\u03a1\u03a3-\u03ce\u0400-\u0481"
    r"\u05d0-\u05ea\u0620-\u064a\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fef\uac00-\ud7a3"
)
_NAME = f"[{_LETTERS}] [{_LETTERS}0-9_]{{0,30}}"
_NUMBER = '"-"? [0-9]{1,4} ("." [0-9]{1,3})?'
_CHANCE = '("0.6" | "0.7" | "0.8" | "0.9" | "0.95")'
_STRENGTH = '("1.0" | "2.0" | "3.0" | "4.0")'


def whole(agent_type: str, horizon: int | None = None) -> str:
    """Give the grammar of a specification behind its first word, `agent`.

    Args:
        agent_type: what is written for the type.
        horizon: what is written for it; `None` is 1, 2 or 3.
    """
    rules = {
        "root": '" " name '
        + _quoted(f" {{ type: {agent_type}, horizon: ")
        + f' {_quoted(str(horizon)) if horizon else "[1-3]"} " }}" state+ seen+ act? '
        + f"emission+ transition* preference* {_quoted(END)}",
        "state": f'{_head("state")} space (", initial: onehot(" (name | number) ")")? " }}"',
        "seen": f'{_head("observation")} space " }}"',
        "act": f'{_head("action")} ("labels: " words | "size: " size) " }}"',
        "emission": f'{_head("emission")} to ", matrix: " emit " }}"',
        "transition": f'{_head("transition")} to ", matrix: " move " }}"',
        "preference": f'{_head("preference")} "over: " name ", values: " want " }}"',
        "space": '"labels: " words | "size: " size | "shape: [" size ", " size "]"',
        "to": '"to: " name ", from: " (name | names)',
        "emit": _calls("emission"),
        "move": _calls("transition"),
        "want": _calls("preference"),
        "args": 'arg (", " arg){0,11}',
        "arg": '(name "=")? value',
        "value": 'number | name ("(" args ")")? | "[" value (", " value){0,11} "]"',
        "words": '"[" name (", " name){1,11} "]"',
        "names": '"[" name (", " name){0,3} "]"',
        "size": "[1-9] [0-9]?",
        "name": _NAME,
        "number": _NUMBER,
    }
    return _written(rules)


def rest(spec: Spec, needed: Iterable[str] = ()) -> str:
    """Give the grammar of the nodes that are missing; empty where none is.

    Args:
        spec: what is there.
        needed: the names of factors that must get a transition.
    """
    return _Rest(spec).grammar(frozenset(needed))


class _Rest:
    """The rules for what is missing in one specification."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.rules: dict[str, str] = {}
        self.factors = [each.name for each in spec.factors]
        self.axes = {e.name: Axis(e.name, e.size, e.labels, e.shape) for e in spec.factors}
        self.axes |= {
            e.name: Axis(e.name, e.size, e.labels, e.shape, "observation") for e in spec.modalities
        }
        self.axes |= {e.name: Axis(e.name, e.size, e.labels, what="action") for e in spec.controls}

    def grammar(self, needed: frozenset[str]) -> str:
        """Give all of them."""
        spec = self.spec
        emitted = {each.to for each in spec.emissions}
        nodes = [self.emission(each) for each in self.axes if self.is_seen(each, emitted)]
        nodes += self.transitions(needed)
        if not spec.preferences:
            nodes.append(_either(self.preference(each.name) for each in spec.modalities))
        if not nodes:
            return ""
        return _written({"root": f"{' '.join(nodes)} {_quoted(END)}", **self.rules})

    def is_seen(self, name: str, emitted: set[str]) -> bool:
        """Tell whether it is an observation of which nothing says how it comes about."""
        return self.axes[name].what == "observation" and name not in emitted

    # -- one node each ---------------------------------------------------------------------------

    def emission(self, to: str) -> str:
        """Give the node for an observation, out of one state or of two."""
        ways = []
        for count in (1, 2):
            for sources in itertools.permutations(self.factors[:_MOST_FACTORS], count):
                ways += self.ways(sources, (to, *sources), "emission")
        return self.line("emission", f"see_{to}", f"to: {to}, from: ", self.rule(ways))

    def transitions(self, needed: frozenset[str]) -> list[str]:
        """Give a node for each factor that has none; an action that is idle gets one to change."""
        moved = {each.to for each in self.spec.transitions}
        used = {each.by for each in self.spec.transitions}
        idle = [each.name for each in self.spec.controls if each.name not in used]
        still = [name for name in self.factors if name not in moved]
        by_itself = [self.transition(name, (), required=name in needed) for name in still]
        if not idle or not still:
            return by_itself
        either = []
        for at, name in enumerate(still):
            moving = self.transition(name, idle, required=True)
            either.append(" ".join([*by_itself[:at], moving, *by_itself[at + 1 :]]))
        return [_either(either)]

    def transition(self, to: str, by: Sequence[str], *, required: bool) -> str:
        """Give the node for a factor: by itself, or by one of these actions."""
        others = [name for name in self.factors[:_MOST_FACTORS] if name != to]
        ways = []
        for action in ((name,) for name in by) if by else ((),):
            for other in ((), *((name,) for name in others)):
                names = (to, *other, *action)
                ways += self.ways(names, (to, *names), "transition")
        line = self.line("transition", f"change_{to}", f"to: {to}, from: ", self.rule(ways))
        return line if required else f"({line})?"

    def preference(self, over: str) -> str:
        """Give the node for an observation: one goal, or some of them and what is avoided."""
        one = self.rule(
            [f'("goal(" | "avoid(") {self.places(self.axes[over])} ", " {_STRENGTH} ")"']
        )
        values = f'({one} | "sum(" {one} (", " {one}){{1,2}} ")")'
        return self.line("preference", f"want_{over}", f"over: {over}, values: ", values)

    # -- what a matrix may be ----------------------------------------------------------------------

    def ways(self, sources: Sequence[str], names: Sequence[str], place: Place) -> list[str]:
        """Give what may stand behind `from: `: the sources, and the matrices that fit them."""
        fitting = self.matrices(tuple(self.axes[name] for name in names), place, top=True)
        if not fitting:
            return []
        listed = sources[0] if len(sources) == 1 else f"[{', '.join(sources)}]"
        return [f"{_quoted(f'{listed}, matrix: ')} {self.rule(fitting)}"]

    def matrices(self, axes: tuple[Axis, ...], place: Place, *, top: bool) -> list[str]:
        """Give the constructors of which the registry makes an array over these axes."""
        if top and (clear := _told_by_labels(axes, place)):
            return [_quoted(clear)]
        found = [
            _quoted(each.name)
            for each in CONSTRUCTORS.values()
            if place in each.places and _says(each.name, axes, place, top=top)
        ]
        found += [
            f'"{name}(" {_CHANCE} ")"'
            for name in ("noisy", "near")
            if _says(f"{name}(0.9)", axes, place, top=top)
        ]
        steps = ", ".join(["1"] + ["0"] * (axes[-1].size - 1))
        if axes[-1].what == "action" and _says(f"line(steps=[{steps}])", axes, place, top=top):
            found.append(f'"line(steps=[" {_steps(axes[-1].size)} "])"')
        if len(axes) == _OVER_ONE and axes[1].size <= _LONGEST_LIST:
            found.append(f'"map([" {_times(self.places(axes[0]), axes[1].size)} "])"')
        # What a factor was before is in each of them: one for each of what else it depends on.
        first = 2 if place == "transition" else 1
        for at in range(first, len(axes)) if len(axes) > _OVER_ONE else ():
            inner = self.matrices(axes[:at] + axes[at + 1 :], place, top=False)
            if axes[at].size <= _LONGEST_LIST:
                each_one = _times(self.rule(inner), axes[at].size)
                found.append(f'"by({axes[at].name}, [" {each_one} "])"')
        return found

    def places(self, axis: Axis) -> str:
        """Give the labels of an axis, or its numbers."""
        return self.rule(_quoted(axis.say(index)) for index in range(axis.size))

    # -- writing -----------------------------------------------------------------------------------

    def line(self, kind: str, name: str, start: str, end: str) -> str:
        """Give a rule for one node."""
        while name in self.axes:
            name += "_"
        begun = _quoted(f"\nnode {kind} {name} {{ {start}")
        return self.rule([f"{begun} {end} {_quoted(' }')}"])

    def rule(self, ways: Iterable[str]) -> str:
        """Give the name of the rule for one of these; the same ways are one rule."""
        body = " | ".join(dict.fromkeys(ways))
        known = {text: name for name, text in self.rules.items()}
        name = known.get(body, f"r{len(self.rules)}")
        self.rules[name] = body
        return name


def _told_by_labels(axes: tuple[Axis, ...], place: Place) -> str:
    """Give the one constructor that labels of actions ask for, or nothing.

    They are called up and down, or left and right, or after the states that they lead to.
    """
    to, by = axes[0], axes[-1]
    if by.what != "action" or not by.labels:
        return ""
    ways = [name for name in ("grid", "line") if _says(name, axes, place, top=True)]
    if to.labels and all(label.endswith(to.labels) for label in by.labels):
        ways += [name for name in ("goto",) if _says(name, axes, place, top=True)]
    return ways[0] if ways else ""


def _says(text: str, axes: tuple[Axis, ...], place: Place, *, top: bool) -> bool:
    """Tell whether the registry makes an array of it that says something.

    Inside others anything does; alone it must tell one column from another, and one action.
    """
    try:
        array = expand(read_value(text), axes, place)
    except ValueError:
        return False
    if not top or array.size == axes[0].size:
        return True
    along = range(1, array.ndim) if axes[-1].what != "action" else (array.ndim - 1,)
    return any(bool((array != array.take([0], axis=at)).any()) for at in along)


# -- writing ---------------------------------------------------------------------------------------


def _head(kind: str) -> str:
    return f'{_quoted(f"{chr(10)}node {kind} ")} name " {{ "'


def _calls(place: Place) -> str:
    names = [each.name for each in CONSTRUCTORS.values() if place in each.places]
    return f'{_either(map(_quoted, names))} ("(" args ")")?'


def _steps(count: int) -> str:
    """Give the lists of steps of so many actions, of which not all are the same."""
    if count > _MOST_STEPS:
        return _times('("-1" | "0" | "1")', count)
    lists = itertools.product(("-1", "1", "0"), repeat=count)
    return _either(_quoted(", ".join(each)) for each in lists if len(set(each)) > 1)


def _times(piece: str, count: int) -> str:
    return piece if count == 1 else f'{piece} (", " {piece}){{{count - 1}}}'


def _either(pieces: Iterable[str]) -> str:
    return f"({' | '.join(dict.fromkeys(pieces))})"


def _quoted(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{plain}"'


def _written(rules: dict[str, str]) -> str:
    return "\n".join(f"{name} ::= {rule}" for name, rule in rules.items()) + "\n"
