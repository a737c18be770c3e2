"""How large a specification may be, told with the numbers before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llmport_magic.gmn.agents.policies import MAX_POLICIES

if TYPE_CHECKING:
    from llmport_magic.gmn.arrays.constructors import Axis
    from llmport_magic.gmn.spec import Control, Factor, Modality, Spec

# 32 MB in float64; walking in a grid of 28 x 28 is within.
MAX_ENTRIES = 4_000_000
# 128 MB: all arrays of a model.
MAX_TOTAL = 16_000_000
# Hidden states that are possible at once: the product of the factors' sizes. The agent never lists
# them, but a model of more can neither be checked by listing nor be given to a library that does.
MAX_JOINT = 1_000_000
# All nodes of a specification.
MAX_NODES = 500
_SHOWN = 12
_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something about one field of one node.

    Attributes:
        node: its name; `agent` and `habit` are the only nodes of their kind, named by it.
        field: the field's name; empty where it is about the whole node.
        text: what it is and what to do about it, one line.
        level: as in `Finding`.
        at: the part of a list that it is about: the index in each of the lists that hold it.
    """

    node: str
    field: str
    text: str
    level: Literal["error", "warning"] = "error"
    at: tuple[int, ...] = ()


def too_many(name: str, axes: Sequence[Axis]) -> str:
    """Say that an array would be too large; empty where it is not."""
    if math.prod(axis.size for axis in axes) <= MAX_ENTRIES:
        return ""
    largest = max(axes, key=lambda axis: axis.size)
    mend = f"lower `size` of `{largest.name}`, or split it into several nodes"
    if len(axes) > 3:  # more than a factor and an action
        mend = "let it depend on fewer nodes"
    numbers = _multiplied([axis.size for axis in axes])
    return f"`{name}` has {numbers} numbers, and {MAX_ENTRIES:,} are allowed: {mend}"


def _multiplied(sizes: Sequence[int]) -> str:
    """Write a product with its factors: `10 x 10 = 100`."""
    if len(sizes) == 1:
        return f"{sizes[0]:,}"
    shown = " x ".join(f"{size:,}" for size in sizes[:_SHOWN])
    more = " x …" if len(sizes) > _SHOWN else ""
    return f"{shown}{more} = {_counted(sum(math.log10(size) for size in sizes), sizes)}"


def _counted(digits: float, sizes: Sequence[int]) -> str:
    return f"{math.prod(sizes):,}" if digits < _DIGITS else f"about 10^{digits:.0f}"


def size_flaws(spec: Spec) -> Iterable[Flaw]:
    """Tell of too many states at once, and of too many policies."""
    sizes = [factor.size for factor in spec.factors]
    if math.prod(sizes) > MAX_JOINT:
        largest = max(spec.factors, key=lambda factor: factor.size)
        yield Flaw(
            largest.name,
            "size",
            f"{_multiplied(sizes)} hidden states are possible at once, and {MAX_JOINT:,} are "
            "allowed: have fewer state nodes, or smaller ones",
        )
    if too_many_policies(spec):
        yield policies_flaw(spec)


def policies_flaw(spec: Spec) -> Flaw:
    """Say that there are too many policies, and what to lower."""
    actions = math.prod(control.size for control in spec.controls)
    digits = spec.horizon * math.log10(actions)
    count = f"{count_policies(spec):,}" if digits < _DIGITS else f"about 10^{digits:.0f}"
    sizes = " x ".join(str(control.size) for control in spec.controls)
    longest = int(math.log(MAX_POLICIES) / math.log(actions) + 1e-9)
    mend = (
        f"lower `horizon` to {longest}, or have fewer actions" if longest else "have fewer actions"
    )
    return Flaw(
        "agent",
        "horizon",
        f"{count} policies ({sizes} actions, `horizon` {spec.horizon}), and {MAX_POLICIES:,} are "
        f"allowed: {mend}",
    )


def too_many_policies(spec: Spec) -> bool:
    """Tell whether there are more policies than the agent lists by default."""
    actions = math.prod(control.size for control in spec.controls)
    # Not by the power itself, which takes for ever where the horizon is a huge number.
    return actions > 1 and spec.horizon * math.log(actions) > math.log(MAX_POLICIES) + 1e-9


def count_policies(spec: Spec) -> int:
    """Count the policies, of which there are not too many."""
    return int(math.prod(control.size for control in spec.controls) ** spec.horizon)


def asked_flaws(spec: Spec, asked: Mapping[str, int | None]) -> Iterable[Flaw]:
    """Tell where a specification is larger than what was asked for.

    Args:
        spec: the specification.
        asked: `max_states`, `max_observations` and `max_actions` are about all nodes of a kind
            together; `max_factors` counts state nodes; `horizon` is exact.
    """
    kinds: dict[str, tuple[Factor | Modality | Control, ...]] = {
        "max_states": spec.factors,
        "max_observations": spec.modalities,
        "max_actions": spec.controls,
    }
    for name, nodes in kinds.items():
        most, count = asked.get(name), sum(node.size for node in nodes)
        if most is not None and count > most:
            largest = max(nodes, key=lambda node: node.size)
            what = name.removeprefix("max_")
            sizes = " + ".join(str(node.size) for node in nodes)
            sizes = f" ({sizes})" if len(nodes) > 1 else ""
            text = (
                f"{count} {what}{sizes}, and `{name}` is {most}: lower `size` of `{largest.name}`"
            )
            yield Flaw(largest.name, "size", text)
    most = asked.get("max_factors")
    if most is not None and len(spec.factors) > most:
        text = f"{len(spec.factors)} state nodes, and `max_factors` is {most}: leave some out"
        yield Flaw(spec.factors[most].name if most >= 0 else "", "", text)
    horizon = asked.get("horizon")
    if horizon is not None and spec.horizon != horizon:
        text = f"`horizon` is {spec.horizon}, asked for is {horizon}: write `horizon: {horizon}`"
        yield Flaw("agent", "horizon", text)
