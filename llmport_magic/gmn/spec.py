"""A specification of an active-inference agent: what it may be in, see and do, and what it wants.

One orientation throughout: the first axis of a matrix is what follows, and sums to 1.

    emission    [observation, state, …]      the states in the order of `of`
    transition  [next, previous, …, action]  the previous states in the order of `of`

What stands in a specification are values as they were written (`nodes.py`); `Spec.model` has the
arrays that they stand for.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import GMNError
from llmport_magic.gmn.notation.nodes import value_of
from llmport_magic.gmn.notation.values import array_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from llmport_magic.gmn.agents.agent import Agent
    from llmport_magic.gmn.agents.environment import Process
    from llmport_magic.gmn.arrays.model import Model
    from llmport_magic.gmn.notation.nodes import Value

# What stands for an array: a constructor may be written as a text there.
_ARRAYS = {"matrix", "values", "initial"}


def _settle(record: Any) -> None:
    """Make the lists and arrays of a frozen record tuples, so that equal ones are equal."""
    if not isinstance(record.name, str):
        kind = type(record).__name__.lower()
        raise GMNError(f"the `name` of a {kind} is a text, not {record.name!r}")
    for each in fields_of(record):
        given = getattr(record, each.name)
        if given is None:
            continue
        value = _array(given) if each.name in _ARRAYS else value_of(given)
        if each.name == "of" and isinstance(value, str):
            value = (value,)
        object.__setattr__(record, each.name, value)


def _count(space: Factor | Modality | Control) -> None:
    """Take the size from the labels or the shape where none is given."""
    if space.size or isinstance(space.size, bool):
        return
    shape = () if isinstance(space, Control) else space.shape
    if isinstance(space.labels, tuple) and space.labels:
        object.__setattr__(space, "size", len(space.labels))
    elif isinstance(shape, tuple) and shape and all(type(each) is int for each in shape):
        object.__setattr__(space, "size", math.prod(shape))


def _array(given: Any) -> Value:
    return array_of(value_of(given))


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A hidden state: what the agent infers.

    Attributes:
        name: unique among all nodes.
        size: how many states it has; by default as many as `labels` or `shape` say.
        labels: their names, in order; empty where they have none.
        shape: rows and columns where the states are cells of a grid, row by row; else empty.
        initial: the belief before the first observation, a vector; `None` is uniform.
        description: for people.
    """

    name: str
    size: int = 0
    labels: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    initial: Value | None = None
    description: str = ""

    def __post_init__(self) -> None:
        _settle(self)
        _count(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Modality:
    """A channel of observations; fields as for `Factor`."""

    name: str
    size: int = 0
    labels: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        _settle(self)
        _count(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What the agent can do at each step: one of `size` actions."""

    name: str
    size: int = 0
    labels: tuple[str, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        _settle(self)
        _count(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """How states give rise to an observation.

    Attributes:
        name: unique among all nodes.
        to: the modality.
        of: the factors that it depends on, in the order of the matrix's axes.
        matrix: `[observation, state, …]`.
        description: for people.
    """

    name: str
    to: str
    of: tuple[str, ...]
    matrix: Value
    description: str = ""

    def __post_init__(self) -> None:
        _settle(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """How a factor changes from one step to the next.

    Attributes:
        name: unique among all nodes.
        to: the factor.
        of: the factors that its next state depends on, in the order of the matrix's axes.
        by: the control that it depends on; `None` where the agent cannot change it.
        matrix: `[next, previous, …, action]`; without the last axis where `by` is `None`.
        description: for people.
    """

    name: str
    to: str
    of: tuple[str, ...]
    by: str | None = None
    matrix: Value = "identity"
    description: str = ""

    def __post_init__(self) -> None:
        _settle(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What the agent wants, as log-preferences: differences count, and they need not sum to 1.

    Attributes:
        name: unique among all nodes.
        over: the modality or the factor that it is about.
        values: a vector; larger is wanted more.
        description: for people.
    """

    name: str
    over: str
    values: Value
    description: str = ""

    def __post_init__(self) -> None:
        _settle(self)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A specification; two are equal when everything written in them is.

    A list or an array of numpy may stand where a tuple does, and the text of a constructor where
    the constructor does: `matrix="noisy(0.9)"`.

    Attributes:
        name: of the agent.
        factors: the hidden states, in the order of `D`.
        modalities: the observations, in the order of `A` and `C`.
        controls: the actions.
        emissions: one for each modality.
        transitions: one for each factor at most; a factor without one never changes.
        preferences: at most one for each modality or factor.
        habit: the prior over policies, in their order (`E`); `None` is uniform.
        agent_type: `general`, `explorer`, `trader`, `coordinator`, `analyst` or `creative`.
        horizon: how many steps a policy looks ahead.
        precision: how strongly expected free energy decides between policies (`gamma`).
        description: for people.
    """

    name: str = "agent"
    factors: tuple[Factor, ...]
    modalities: tuple[Modality, ...]
    controls: tuple[Control, ...] = ()
    emissions: tuple[Emission, ...]
    transitions: tuple[Transition, ...] = ()
    preferences: tuple[Preference, ...] = ()
    habit: Value | None = None
    agent_type: str = "general"
    horizon: int = 1
    precision: float = 16.0
    description: str = ""
    # Nothing that is written; what reading it found worth a word.
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in (
            "factors",
            "modalities",
            "controls",
            "emissions",
            "transitions",
            "preferences",
        ):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.habit is not None:
            object.__setattr__(self, "habit", _array(self.habit))

    # -- arrays ------------------------------------------------------------------------------

    @cached_property
    def model(self) -> Model:
        """The arrays that the specification stands for.

        Raises:
            GMNError: a matrix does not fit, or is no probability.
        """
        from llmport_magic.gmn.arrays.model import model_of

        return model_of(self)

    @property
    def A(self) -> tuple[NDArray[Any], ...]:
        """Emissions: for each modality `[observation, state, …]`."""
        return self.model.A

    @property
    def B(self) -> tuple[NDArray[Any], ...]:
        """Transitions: for each factor `[next, previous, …, action]`."""
        return self.model.B

    @property
    def C(self) -> tuple[NDArray[Any], ...]:
        """Log-preferences over the observations of each modality; zeros where there are none."""
        return self.model.C

    @property
    def D(self) -> tuple[NDArray[Any], ...]:
        """The belief before the first observation: for each factor `[state]`."""
        return self.model.D

    @property
    def E(self) -> NDArray[Any] | None:
        """The prior over policies, `[policy]`; `None` is uniform."""
        return self.model.E

    # -- what can be done with it ------------------------------------------------------------

    def agent(self, **options: Any) -> Agent:
        """Make an agent of it.

        Args:
            **options: as for `Agent`; `policy_len` and `gamma` are the specification's `horizon`
                and `precision` unless given.
        """
        from llmport_magic.gmn.agents.agent import Agent

        given = {"policy_len": self.horizon, "gamma": self.precision, **options}
        return Agent(self.model, **given)

    def environment(self, seed: int = 0) -> Process:
        """Make the world that it describes: states and observations are drawn from its arrays.

        Args:
            seed: of what is drawn; the same seed and actions give the same walk.
        """
        from llmport_magic.gmn.agents.environment import Process

        return Process(self, seed)

    def to_text(self) -> str:
        """Write it in the notation; reading that gives an equal specification."""
        from llmport_magic.gmn.notation.text import write_text

        return write_text(self)

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON; reading that gives an equal specification."""
        from llmport_magic.gmn.notation.json_form import write_json

        return write_json(self)

    def to_pymdp(self, *, states_as_observations: bool = False) -> Mapping[str, Any]:
        """Give the arguments that `pymdp.agent.Agent` takes.

        Args:
            states_as_observations: whether a preference over states becomes one over a further
                modality that shows the state; that is another model, see `docs/gmn-agent.md`.

        Raises:
            GMNError: it has preferences over states, which that agent does not know.
        """
        from llmport_magic.gmn.agents.pymdp_form import to_pymdp

        return to_pymdp(self, states_as_observations=states_as_observations)

    def diff(self, other: Spec) -> str:
        """Give what is different in another one, as a unified diff of the texts; often nothing."""
        if not isinstance(other, Spec):
            raise GMNError(f"`diff` compares with a `Spec`, not {type(other).__name__}: parse it")
        before, after = (each.to_text().splitlines(keepends=True) for each in (self, other))
        return "".join(difflib.unified_diff(before, after, self.name, other.name))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Show it as a factor graph."""
        from llmport_magic.gmn.pictures.graph import as_html, factor_graph

        return {
            "text/plain": self.to_text(),
            "text/html": as_html(self),
            "image/svg+xml": factor_graph(self),
        }
