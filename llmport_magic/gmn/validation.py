"""Whether a specification can be used, with everything that is wrong at once.

Nothing of it is evaluated, nobody is asked, and the same text gives the same report.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmport_magic.errors import GMNError, UsageError
from llmport_magic.gmn.arrays.assembly import assemble
from llmport_magic.gmn.arrays.limits import MAX_NODES, Flaw, asked_flaws, size_flaws
from llmport_magic.gmn.arrays.model import Model
from llmport_magic.gmn.arrays.probabilities import TOLERANCE
from llmport_magic.gmn.findings import Finding, Report
from llmport_magic.gmn.notation.building import build
from llmport_magic.gmn.notation.nodes import Call, Field, Node
from llmport_magic.gmn.notation.reading import read
from llmport_magic.gmn.notation.spellings import field_of, kind_of, name_of
from llmport_magic.gmn.notation.text import place_within
from llmport_magic.gmn.spec import Spec

_ROUNDS = 8


def validate(
    source: str | Mapping[str, Any] | Spec,
    *,
    max_states: int | None = None,
    max_actions: int | None = None,
    max_observations: int | None = None,
    max_factors: int | None = None,
    horizon: int | None = None,
) -> Report:
    """Check a specification, offline; see `docs/gmn.md` for what is checked.

    Args:
        source: a text in any dialect, JSON as a mapping, or a specification.
        max_states: how many hidden states all state nodes may have together: what somebody counts
            who reads the specification. How many are possible at once, which is their product, has
            a limit of its own, 1,000,000.
        max_actions: how many actions all action nodes may have together.
        max_observations: how many values all observation nodes may have together.
        max_factors: how many state nodes there may be.
        horizon: how many steps a policy looks ahead: exactly that many, for fewer see less.

    Raises:
        UsageError: a limit is no whole number; it is a `ValueError`.
    """
    asked = {
        "max_states": max_states,
        "max_actions": max_actions,
        "max_observations": max_observations,
        "max_factors": max_factors,
        "horizon": horizon,
    }
    _refuse_other_than_numbers(asked)
    nodes, found, dialect = read(source)
    if len(nodes) > MAX_NODES:
        text = (
            f"{len(nodes):,} nodes, and {MAX_NODES} are allowed: describe less, or in fewer nodes"
        )
        return Report((*found, Finding(text)), None, dialect)
    if not nodes and any(each.level == "error" for each in found):
        return Report(_ordered(found), None, dialect)
    text = source if isinstance(source, str) and dialect == "gmn" else ""
    spec, more = build(nodes)
    findings = [*found, *more]
    if spec is None:
        findings += [_finding(flaw, nodes, text) for flaw in _other_flaws(nodes, findings)]
        return Report(_ordered(findings), None, dialect)
    model, flaws = assemble(spec)
    flaws += [*size_flaws(spec), *asked_flaws(spec, asked)]
    # Another dialect tells itself in which order it has read its numbers.
    if model is not None and dialect in ("gmn", "json"):
        flaws += _unclear_orders(spec, model)
    ordered = _ordered([*findings, *(_finding(flaw, nodes, text) for flaw in flaws)])
    if any(each.level == "error" for each in ordered):
        return Report(ordered, None, dialect)
    spec = replace(spec, notes=Report(ordered).warnings)
    # Its arrays are made already: the first use of `Spec.model` need not make them again.
    vars(spec)["model"] = model
    return Report(ordered, spec, dialect)


def _refuse_other_than_numbers(asked: Mapping[str, Any]) -> None:
    for name, most in asked.items():
        if most is not None and not hasattr(most, "__index__"):
            raise UsageError(f"`{name}` is {most!r}: give a whole number")


def parse(source: str | Mapping[str, Any] | Spec) -> Spec:
    """Read a specification: a text in any dialect, JSON as a mapping, or one that is checked again.

    What is only worth a word is in its `notes`.

    Raises:
        GMNError: it is not valid; everything that is wrong is in `findings`.
    """
    report = validate(source)
    if report.spec is None:
        first, *rest = report.errors or ("it could not be read",)
        more = f" (and {len(rest)} more, see `findings`)" if rest else ""
        raise GMNError(f"the specification is not valid: {first}{more}", findings=report.errors)
    return report.spec


def _ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Give each thing once, in the order of the text; what is about the whole comes last."""
    return tuple(
        sorted(dict.fromkeys(findings), key=lambda each: (each.line or sys.maxsize, each.column))
    )


def _unclear_orders(spec: Spec, model: Model) -> Iterator[Flaw]:
    """Tell of numbers that are another transition when the action is their first axis."""
    for each in spec.transitions:
        array = model.B[model.factors.index(each.to)]
        cube = array.ndim == 3 and array.shape[0] == array.shape[2] > 1
        if each.by is None or not isinstance(each.matrix, tuple) or not cube:
            continue
        other = array.transpose(1, 2, 0)
        if (abs(other.sum(axis=0) - 1) <= TOLERANCE).all() and not (other == array).all():
            text = (
                f"`{each.name}`: these numbers would also fit with the action first: they are read "
                f"as [next, previous, action]; `by({each.by}, [ … ])` leaves no doubt"
            )
            yield Flaw(each.name, "matrix", text, "warning")


# -- where it stands -----------------------------------------------------------------------------


def _finding(flaw: Flaw, nodes: Sequence[Node], text: str) -> Finding:
    """Say where in the text a part of a field stands, the field, or its node where it has none."""
    node = next((each for each in nodes if _is_meant(each, flaw)), None)
    if node is None:
        return Finding(flaw.text, flaw.level, flaw.node)
    kind = kind_of(node.kind) or ""
    field = next(
        (field for key, field in node.fields.items() if field_of(kind, key) == flaw.field), None
    )
    place = (field.line, field.column) if field and field.line else (node.line, node.column)
    if text and flaw.at and field and isinstance(field.value, tuple):
        place = place_within(text, place, flaw.at)
    return Finding(flaw.text, flaw.level, flaw.node, *place)


def _is_meant(node: Node, flaw: Flaw) -> bool:
    kind = kind_of(node.kind)
    if flaw.node in ("agent", "habit"):
        return kind == flaw.node
    if kind in (None, "agent", "habit"):
        return False
    # Of two nodes of one name, building calls one after its kind, too.
    return flaw.node in (node.name, name_of(node.name), f"{name_of(node.name)}_{kind}")


# -- what can be looked at in spite of errors ------------------------------------------------------


def _other_flaws(nodes: Sequence[Node], findings: Sequence[Finding]) -> list[Flaw]:
    """Give what is wrong with the nodes that can be looked at all the same."""
    rest = _without_errors(nodes, findings)
    flaws = assemble(rest)[1] if rest is not None else []
    # How many policies there are is not known where a node is left out.
    return [flaw for flaw in flaws if flaw.node not in ("agent", "habit")]


def _without_errors(nodes: Sequence[Node], findings: Sequence[Finding]) -> Spec | None:
    """Give what the nodes without an error make together, so that all is reported at once."""
    for _ in range(_ROUNDS):
        wrong = {each.node for each in findings if each.level == "error" and each.node}
        left = [each for each in nodes if not {each.name, name_of(each.name)} & wrong]
        if len(left) == len(nodes):
            return None
        if not any(kind_of(node.kind) == "observation" for node in left):
            left += _STAND_IN
        spec, findings = build(left)
        if spec is not None:
            return spec
        nodes = left
    return None


# Without any observation, nothing could be built.
_STAND_IN = (
    Node("observation", "nothing", {"size": Field(1)}),
    Node("emission", "nothing_seen", {"to": Field("nothing"), "matrix": Field(Call("uniform"))}),
)
