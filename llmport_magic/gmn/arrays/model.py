"""The arrays of a generative model, as an agent and an environment use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import GMNError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmport_magic.gmn.spec import Control, Factor, Modality, Spec


@dataclass(frozen=True, eq=False)
class Model:
    """A discrete generative model; all arrays are float64 and read-only.

    Attributes:
        A: for each modality `[observation, state, …]`; the first axis sums to 1.
        A_of: for each modality the factors of the other axes, by index.
        B: for each factor `[next, previous, …, action]`; the first axis sums to 1. A factor that no
            control moves has a last axis of length 1.
        B_of: for each factor the factors of the axes between, by index.
        B_by: for each factor the control of the last axis, by index; -1 where there is none.
        C: for each modality the log-preferences over its observations.
        D: for each factor the belief before the first observation.
        E: the prior over policies, or `None`.
        H: for each factor the log-preferences over its states, or `None`.
        controls: how many actions each control has.
        factors: the factors' names.
        modalities: the modalities' names.
        control_names: the controls' names.
        labels: of the states, observations and actions, by the node's name.
        shapes: of grids, by the node's name.
    """

    A: tuple[NDArray[Any], ...]
    A_of: tuple[tuple[int, ...], ...]
    B: tuple[NDArray[Any], ...]
    B_of: tuple[tuple[int, ...], ...]
    B_by: tuple[int, ...]
    C: tuple[NDArray[Any], ...]
    D: tuple[NDArray[Any], ...]
    E: NDArray[Any] | None = None
    H: tuple[NDArray[Any] | None, ...] = ()
    controls: tuple[int, ...] = ()
    factors: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    control_names: tuple[str, ...] = ()
    labels: dict[str, tuple[str, ...]] | None = None
    shapes: dict[str, tuple[int, ...]] | None = None


def model_of(spec: Spec) -> Model:
    """Give the arrays that a specification stands for, made anew: `Spec.model` keeps them.

    A column whose sum is within 0.001 of 1 is divided by it. A transition without a control has a
    last axis of length 1; a factor without a transition never changes.

    Raises:
        GMNError: it does not hang together, or a matrix does not fit or is no probability;
            everything that is wrong is in its `findings`.
    """
    from llmport_magic.gmn.arrays.assembly import assemble
    from llmport_magic.gmn.notation.building import build
    from llmport_magic.gmn.notation.listing import nodes_of

    # One that was made in Python may name what is not there; no array can be made of that.
    wrong = tuple(each.text for each in build(nodes_of(spec))[1] if each.level == "error")
    spaces: tuple[Factor | Modality | Control, ...]
    spaces = (*spec.factors, *spec.modalities, *spec.controls)
    wrong += tuple(
        f"`size` of `{each.name}` is {each.size!r}: give a whole number"
        for each in spaces
        if type(each.size) is not int and not wrong
    )
    model = None
    if not wrong:
        model, flaws = assemble(spec)
        wrong = tuple(flaw.text for flaw in flaws if flaw.level == "error")
    if model is None:
        raise GMNError("; ".join(wrong), findings=wrong)
    return model
