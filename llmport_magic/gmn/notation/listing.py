"""A specification as the nodes that it is written as: what `building.build` does, backwards."""

from __future__ import annotations

from collections.abc import Iterator

from llmport_magic.gmn.notation.nodes import Field, Node, Value
from llmport_magic.gmn.spec import (
    Control,
    Emission,
    Factor,
    Modality,
    Preference,
    Spec,
    Transition,
)


def nodes_of(spec: Spec) -> list[Node]:
    """Give the nodes of a specification; what is as by default is left out."""
    return [
        *_agent(spec),
        *(_space("state", each, each.initial) for each in spec.factors),
        *(_space("observation", each) for each in spec.modalities),
        *(_space("action", each) for each in spec.controls),
        *(_emission(each) for each in spec.emissions),
        *(_transition(each) for each in spec.transitions),
        *(_preference(each) for each in spec.preferences),
        *([] if spec.habit is None else [_node("habit", "habit", values=spec.habit)]),
    ]


def _node(kind: str, name: str, **fields: Value | None) -> Node:
    """Make a node; a field that is `None` or empty is not written."""
    written = {
        key.rstrip("_"): Field(value)
        for key, value in fields.items()
        if not (value is None or (value in ("", ()) and key not in ("matrix", "values")))
    }
    return Node(kind, name, written)


def _agent(spec: Spec) -> Iterator[Node]:
    plain = Spec(factors=(), modalities=(), emissions=())
    names = ("name", "agent_type", "horizon", "precision", "description")
    if any(getattr(spec, name) != getattr(plain, name) for name in names):
        yield _node(
            "agent",
            spec.name,
            type=spec.agent_type,
            horizon=spec.horizon,
            precision=spec.precision,
            description=spec.description,
        )


def _space(kind: str, each: Factor | Modality | Control, initial: Value | None = None) -> Node:
    return _node(
        kind,
        each.name,
        size=each.size,
        labels=each.labels,
        shape=() if isinstance(each, Control) else each.shape,
        initial=initial,
        description=each.description,
    )


def _names(names: tuple[str, ...]) -> Value:
    return names[0] if len(names) == 1 else names


def _emission(each: Emission) -> Node:
    return _node(
        "emission",
        each.name,
        to=each.to,
        from_=_names(each.of),
        matrix=each.matrix,
        description=each.description,
    )


def _transition(each: Transition) -> Node:
    return _node(
        "transition",
        each.name,
        to=each.to,
        from_=_names((*each.of, each.by) if each.by is not None else each.of),
        matrix=each.matrix,
        description=each.description,
    )


def _preference(each: Preference) -> Node:
    return _node(
        "preference",
        each.name,
        over=each.over,
        values=each.values,
        description=each.description,
    )
