"""What is put right in an answer without a call: only what can be meant in one way.

Each mend proposes what may be meant. It counts where one proposal alone leaves less that is wrong,
and all of them only where the specification is valid in the end; each is told as a warning. Only
answers of models are mended: what somebody wrote by hand is theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, permutations
from typing import TypeAlias

import numpy as np

from llmport_magic.gmn.agents.policies import MAX_POLICIES
from llmport_magic.gmn.findings import Report
from llmport_magic.gmn.notation.nodes import Call, Field, Node, Value
from llmport_magic.gmn.notation.reading import read
from llmport_magic.gmn.notation.spellings import field_of, kind_of
from llmport_magic.gmn.notation.values import write_text_value, write_value

Check: TypeAlias = Callable[[str], Report]
# The nodes as they may be meant, and what is said of it.
Proposal: TypeAlias = "tuple[list[Node], str]"

# What each mend's warning begins with.
MENDED = "mended: "
_MOST_MENDS = 10
# More is no slip: each proposal is validated, and the answer of a model may be anything.
_MOST_NODES, _MOST_GROUPS, _MOST_ALIKE = 60, 40, 12
# How far a column may be from 1 that only was rounded: three times 0.33, or 0.9 and 0.05.
_ROUNDING = 0.06
_DEEPEST_AXES = 5


def mended(
    text: str, report: Report, check: Check, limits: Mapping[str, int] | None = None
) -> tuple[Report, tuple[str, ...]]:
    """Give the report of the mended specification, and what was mended.

    Args:
        text: the specification as it stands in the answer.
        report: what is wrong with it.
        check: validates a text.
        limits: what was asked of its size.

    Returns:
        The report that was given, and nothing, where the mends do not make it valid.
    """
    nodes, _, _ = read(text)
    if len(nodes) > _MOST_NODES:
        return report, ()
    now = report
    said: list[str] = []
    while now.spec is None and len(said) < _MOST_MENDS:
        found = _one_that_helps(nodes, now, check, limits or {})
        if found is None:
            return report, ()
        nodes, now, what = found
        said.append(what)
    return (now, tuple(f"{MENDED}{each}" for each in said)) if now.spec else (report, ())


def _one_that_helps(
    nodes: list[Node], now: Report, check: Check, limits: Mapping[str, int]
) -> tuple[list[Node], Report, str] | None:
    for group in islice(_proposals(nodes, limits), _MOST_GROUPS):
        better = []
        if len(group) > _MOST_ALIKE:
            continue
        for proposed, what in group:
            report = check(_written(proposed))
            if report.spec is not None or _wrong(report) < _wrong(now):
                better.append((proposed, report, what))
        if len(better) == 1:
            return better[0]
    return None


def _wrong(report: Report) -> tuple[int, int]:
    """Count what is wrong; how many policies there are is only known once the rest is right."""
    errors = [each for each in report.findings if each.level == "error"]
    of_agent = sum(each.node == "agent" for each in errors)
    return len(errors) - of_agent, of_agent


def _proposals(nodes: list[Node], limits: Mapping[str, int]) -> Iterator[list[Proposal]]:
    """Give what may be meant; of one group only one thing can be."""
    yield from _of_names(nodes)
    yield from _of_sizes(nodes)
    yield from _of_emissions(nodes)
    yield from _of_actions(nodes)
    yield from _of_lists(nodes)
    yield from _of_numbers(nodes)
    yield from _of_preferences(nodes)
    yield from _of_horizon(nodes, limits)


# -- nodes ---------------------------------------------------------------------------------------


def _of_kind(nodes: Sequence[Node], *kinds: str) -> list[Node]:
    return [node for node in nodes if kind_of(node.kind) in kinds]


def _value(node: Node, name: str) -> Value | None:
    kind = kind_of(node.kind) or ""
    return next((f.value for key, f in node.fields.items() if field_of(kind, key) == name), None)


def _listed(node: Node, name: str) -> tuple[Value, ...]:
    value = _value(node, name)
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _size(node: Node) -> int:
    size = _value(node, "size")
    return size if isinstance(size, int) else len(_listed(node, "labels"))


def _with(node: Node, **fields: Value) -> Node:
    """Give a node with other values of fields, under the words that they had."""
    kind = kind_of(node.kind) or ""
    words = {field_of(kind, key): key for key in node.fields}
    changed = {words.get(name, name): Field(value) for name, value in fields.items()}
    return replace(node, fields={**node.fields, **changed})


def _put(nodes: Sequence[Node], old: Node, *new: Node) -> list[Node]:
    """Put nodes in the place of one of them."""
    return [each for node in nodes for each in (new if node is old else (node,))]


def _written(nodes: Sequence[Node]) -> str:
    lines = []
    for node in nodes:
        head = "agent" if kind_of(node.kind) == "agent" else f"node {node.kind}"
        fields = ", ".join(f"{key}: {write_value(f.value)}" for key, f in node.fields.items())
        lines.append(f"{head} {write_text_value(node.name)} {{ {fields} }}")
    return "\n".join(lines)


# -- mends ---------------------------------------------------------------------------------------


def _of_names(nodes: list[Node]) -> Iterator[list[Proposal]]:
    """A node that stands there twice; a state and an observation of one name.

    What refers to such a name says by its field which of the two it means.
    """
    seen: list[Node] = []
    for node in nodes:
        same = [each for each in seen if (each.kind, each.name) == (node.kind, node.name)]
        plain = {key: field.value for key, field in node.fields.items()}
        if any({key: f.value for key, f in each.fields.items()} == plain for each in same):
            yield [([each for each in nodes if each is not node], f"`{node.name}` was there twice")]
        seen.append(node)
    states = {node.name for node in _of_kind(nodes, "state")}
    for node in _of_kind(nodes, "observation"):
        if node.name not in states:
            continue
        name = f"{node.name}_seen"
        renamed = _put(nodes, node, replace(node, name=name))
        for each in _of_kind(renamed, "emission"):
            if _value(each, "to") == node.name:
                renamed = _put(renamed, each, _with(each, to=name))
        for each in _of_kind(renamed, "preference"):
            if _value(each, "over") == node.name:
                renamed = _put(renamed, each, _with(each, over=name))
        what = f"the observation `{node.name}` is called `{name}`: a state has its name"
        yield [(renamed, what)]


def _of_sizes(nodes: list[Node]) -> Iterator[list[Proposal]]:
    """A size that is not the number of labels: whoever writes labels counts them wrong."""
    for node in _of_kind(nodes, "state", "observation", "action"):
        labels, size = _listed(node, "labels"), _value(node, "size")
        if labels and isinstance(size, int) and size != len(labels):
            what = f"`{node.name}` has {len(labels)} labels, its size was {size}"
            yield [(_put(nodes, node, _with(node, size=len(labels))), what)]


def _of_emissions(nodes: list[Node]) -> Iterator[list[Proposal]]:
    """An observation without an emission shows the one state of its size; or the reverse."""
    states = {node.name: node for node in _of_kind(nodes, "state")}
    shown = {_value(node, "to") for node in _of_kind(nodes, "emission")}
    names = {node.name for node in _of_kind(nodes, "observation")}
    for node in _of_kind(nodes, "observation"):
        if node.name in shown:
            continue
        group = []
        for state in states.values():
            fields: dict[str, Value] = {"to": node.name, "from": state.name, "matrix": "identity"}
            emission = Node("emission", f"show_{node.name}", _fields(fields))
            what = f"`{node.name}` had no emission: it shows `{state.name}` as it is (`identity`)"
            if _size(state) == _size(node):
                group.append(([*nodes, emission], what))
        yield group
    for node in _of_kind(nodes, "emission"):
        to, of = _value(node, "to"), _listed(node, "from")
        source = states.get(str(of[0])) if len(of) == 1 else None
        if isinstance(to, str) and to not in names and to not in states and source is not None:
            same = {key: f for key, f in source.fields.items() if key != "initial"}
            what = f"`{to}` was no observation: it has the values of `{source.name}`"
            yield [(_put(nodes, node, Node("observation", to, same), node), what)]


def _of_actions(nodes: list[Node]) -> Iterator[list[Proposal]]:
    """A transition that forgot the action by which it goes."""
    actions = _of_kind(nodes, "action")
    for node in _of_kind(nodes, "transition"):
        of = _listed(node, "from") or _listed(node, "to")
        if _value(node, "by") is None and not {each.name for each in actions} & set(map(str, of)):
            yield [
                (
                    _put(nodes, node, _with(node, **{"from": (*of, action.name)})),
                    f"`{node.name}` goes by `{action.name}`, which `from` did not name",
                )
                for action in actions
            ]


def _of_lists(nodes: list[Node]) -> Iterator[list[Proposal]]:
    """A list in `map` that does not say what it goes over, and fits one thing only."""
    for node in _of_kind(nodes, "emission", "transition"):
        call = _value(node, "matrix")
        if not isinstance(call, Call) or call.name != "map" or dict(call.named).get("of"):
            continue
        group = []
        for name in _listed(node, "from"):
            of = replace(call, named=(*call.named, ("of", name)))
            what = f"the list of `{node.name}` goes over `{write_value(name)}`"
            group.append((_put(nodes, node, _with(node, matrix=of)), what))
        yield group


def _of_numbers(nodes: list[Node]) -> Iterator[list[Proposal]]:
    """A matrix whose axes are in another order, or whose columns are rounded."""
    for node in _of_kind(nodes, "emission", "transition"):
        array = _array(_value(node, "matrix"))
        if array is None:
            continue
        group = []
        for order in permutations(range(array.ndim)):
            turned = array.transpose(order)
            if order != tuple(range(array.ndim)) and np.allclose(turned.sum(axis=0), 1, atol=1e-3):
                what = f"the matrix of `{node.name}` was transposed: the first axis is what follows"
                group.append((_put(nodes, node, _with(node, matrix=_value_of(turned))), what))
        yield group
        sums = array.sum(axis=0)
        if (array >= 0).all() and np.allclose(sums, 1, atol=_ROUNDING):
            scaled = _value_of(array / sums)
            what = f"the columns of `{node.name}` summed to {sums.min():g} to {sums.max():g}, not 1"
            yield [(_put(nodes, node, _with(node, matrix=scaled)), what)]


def _of_preferences(nodes: list[Node]) -> Iterator[list[Proposal]]:
    """A preference over what is neither an observation nor a state, and fits one of them."""
    there = _of_kind(nodes, "observation", "state")
    for node in _of_kind(nodes, "preference"):
        over = _value(node, "over")
        if over in {each.name for each in there}:
            continue
        for kind in ("observation", "state"):
            yield [
                (
                    _put(nodes, node, _with(node, over=each.name)),
                    f"`{node.name}` is over `{each.name}`: there is no `{over}` to prefer",
                )
                for each in _of_kind(nodes, kind)
            ]


def _of_horizon(nodes: list[Node], limits: Mapping[str, int]) -> Iterator[list[Proposal]]:
    """A horizon that is not the one asked for, or has more policies than can be listed."""
    agents = _of_kind(nodes, "agent")
    agent = agents[0] if agents else Node("agent", "agent")
    horizon = _value(agent, "horizon") or 1
    actions = math.prod(_size(node) for node in _of_kind(nodes, "action"))
    if "horizon" in limits:
        wanted, why = limits["horizon"], "as it was asked for"
    elif actions > 1:
        wanted = max(1, int(math.log(MAX_POLICIES) / math.log(actions) + 1e-9))
        why = f"{actions} actions have too many policies for more"
    else:
        return
    if not isinstance(horizon, int) or horizon == wanted or (horizon < wanted and not limits):
        return
    rest = [node for node in nodes if node is not agent]
    what = f"the horizon is {wanted}, not {horizon}: {why}"
    yield [([_with(agent, horizon=wanted), *rest], what)]


def _fields(values: Mapping[str, Value]) -> dict[str, Field]:
    return {name: Field(value) for name, value in values.items()}


def _array(value: Value | None) -> np.ndarray | None:
    """Give numbers that are written out as an array; `None` for everything else."""
    if not isinstance(value, tuple):
        return None
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError):
        return None
    return array if 1 < array.ndim <= _DEEPEST_AXES and np.isfinite(array).all() else None


def _value_of(array: np.ndarray) -> Value:
    if array.ndim == 1:
        return tuple(float(each) for each in array)
    return tuple(_value_of(each) for each in array)
