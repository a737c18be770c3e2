"""Models in Generalized Notation Notation, the Markdown of `## StateSpaceBlock`, read as ours.

What a variable is, is read from the ontology's annotation, else from its name: `A` emission, `B`
transition, `C` preference, `D` initial belief, `E` habit, `s` state, `o` observation, `u` action,
with a part after `_` that says which of several.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llmport_magic.gmn.findings import Finding
from llmport_magic.gmn.notation.dialects.axes import AxesError, Reading, read_axes
from llmport_magic.gmn.notation.dialects.gnn_page import has_heading, read_page
from llmport_magic.gmn.notation.dialects.gnn_roles import PRECISION, Roles, ending
from llmport_magic.gmn.notation.dialects.literals import Literal, shape_of
from llmport_magic.gmn.notation.nodes import UNREAD, Field, Node, Value

# An agent with more could not act: every one of its policies is looked at.
MAX_VARIABLES = 1_000
MAX_LINKS = 3_000
_LOOKS_AHEAD = ("planning_horizon", "policy_horizon", "policy_length", "policy_len", "horizon")
# The axes of a transition that no action has a part in: next and previous.
_STILL = 2
_SPELLINGS = {"prev": "previous", "obs": "observation"}


def looks_like(source: object) -> bool:
    """Tell whether a source is a GNN file."""
    return isinstance(source, str) and has_heading(
        source, "statespaceblock", "gnnsection", "gnnversionandflags", "initialparameterization"
    )


def read(source: object) -> tuple[list[Node], list[Finding]]:
    """Read a GNN file; never raises, whatever stands in it.

    Returns:
        The nodes, every matrix in our order of axes; and what was found, in the order of the text.
        A value that cannot be used is `UNREAD`, and has an error.
    """
    if not isinstance(source, str):
        return [], [Finding("a GNN file is a text")]
    page = read_page(source)
    if len(page.variables) + len(page.values) > MAX_VARIABLES or len(page.links) > MAX_LINKS:
        text = f"more than {MAX_VARIABLES:,} variables and values, or {MAX_LINKS:,} connections"
        return [], [Finding(text)]
    roles = Roles(page)
    nodes = _Reader(roles).nodes()
    found = dict.fromkeys((*page.findings, *roles.findings))
    return nodes, sorted(found, key=lambda each: each.line)


class _Reader:
    """Makes the nodes of one page."""

    def __init__(self, roles: Roles) -> None:
        self.roles = roles
        self.page = roles.page
        self.actions: dict[str, int] = {}

    def nodes(self) -> list[Node]:
        """Give all nodes, the matrices after what they are about."""
        roles = self.roles
        if self.page.time.keys() & {"continuous", "continuoustime"}:
            roles.error("the model is in continuous time; an agent here acts in steps")
        states = [self._state(name) for name in roles.by_role["s"]]
        seen = [self._sized("observation", n, roles.sizes[n]) for n in roles.by_role["o"]]
        matrices = [self._emission(name) for name in roles.by_role["o"]]
        matrices += [self._transition(name) for name in roles.by_role["s"]]
        wants = [self._preference(name) for name in roles.by_role["C"]]
        for name in roles.by_role["u"]:
            if name not in self.actions and not roles.failed:
                roles.warn(f"`{name}` changes no state; left out", name)
        acts = [self._sized("action", name, size) for name, size in self.actions.items()]
        rest = [node for node in (*matrices, *wants, self._habit()) if node]
        return [self._agent(), *states, *seen, *acts, *rest]

    # -- the agent, its states and observations --------------------------------------------------

    def _agent(self) -> Node:
        fields: dict[str, Value] = {}
        if self.page.name:
            fields["description"] = self.page.name
        if steps := next(filter(None, map(self._whole, _LOOKS_AHEAD)), 0):
            fields["horizon"] = steps
        if gamma := next(filter(None, map(self._scalar, PRECISION)), 0):
            fields["precision"] = gamma
        run = self.page.time.get("modeltimehorizon", "")
        if "horizon" not in fields and re.fullmatch(r"[0-9]+", run):
            self.roles.warn(
                f"ModelTimeHorizon={run} is how long the model runs, not how many steps an agent "
                "looks ahead: that is 1 unless `planning_horizon` under ## ModelParameters says it"
            )
        return _node("agent", _word(self.page.name) or "agent", fields)

    def _whole(self, name: str) -> int:
        text, _ = self.page.parameters.get(name, ("", 0))
        return int(text) if re.fullmatch(r"[0-9]{1,4}", text) else 0

    def _scalar(self, name: str) -> int | float | None:
        given: Any = self.page.values[name].value if name in self.page.values else None
        while isinstance(given, tuple) and len(given) == 1:
            given = given[0]
        if isinstance(given, int | float):
            return given
        text, _ = self.page.parameters.get(name, ("", 0))
        return float(text) if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", text) else None

    def _state(self, name: str) -> Node:
        prior = self.roles.of(name, "D")
        fields: dict[str, Value | Field] = {}
        if prior in self.page.values or prior in self.page.unread:
            vector = self.roles.vector(prior) or UNREAD
            fields["initial"] = Field(vector, *self.roles.place(prior))
        else:
            self.roles.warn(f"no initial belief for `{name}`: it starts uniform", prior or name)
        for other in self.roles.by_role["s"] if prior else ():
            if other != name and other in self.page.linked(prior, alone=True):
                self.roles.warn(
                    f"`{prior}` is connected with `{other}`: that an initial belief depends on "
                    "another state is not read",
                    prior,
                )
        return self._sized("state", name, self.roles.sizes[name], **fields)

    def _sized(self, kind: str, name: str, size: int, **fields: Value | Field) -> Node:
        variable = self.page.variables.get(name)
        if variable and variable.description:
            fields["description"] = variable.description
        place = (variable.line, variable.column) if variable else (0, 0)
        return _node(kind, _word(name), {"size": size, **fields}, *place)

    # -- matrices --------------------------------------------------------------------------------

    def _emission(self, modality: str) -> Node:
        name = self.roles.of(modality, "A")
        states = self.roles.by_role["s"][:1]
        unusable = self._matrix("emission", name, modality, states, UNREAD)
        if name in self.page.unread:
            return unusable
        if name not in self.page.values:
            self.roles.warn(
                f"no emission for `{modality}`: uniform, so it says nothing", name or modality
            )
            return self._matrix("emission", name or f"A_{modality}", modality, states, "uniform")
        value = self.roles.tensor(name)
        if value is None:
            return unusable
        axes = len(shape_of(value)) - 1
        states = self._depends(name, axes, own="")
        if not states or len(states) != axes:
            self._which_states(name, axes)
            return unusable
        named = len(states) > 1 or states[0] in self._told(name)
        labels = states if named else ["state"]
        sizes = dict(zip(labels, (self.roles.sizes[s] or None for s in states), strict=True))
        orders = [("observation", *labels), (*labels, "observation")]
        read = self._read(
            name, value, {"observation": self.roles.sizes[modality] or None, **sizes}, orders
        )
        if read is None:
            return unusable
        return self._matrix("emission", name, modality, states, read.value)

    def _transition(self, factor: str) -> Node:
        name = self.roles.of(factor, "B")
        unusable = self._matrix("transition", name, factor, [factor], UNREAD)
        if name in self.page.unread:
            return unusable
        if name not in self.page.values:
            self.roles.warn(f"no transition for `{factor}`: it never changes", name or factor)
            return self._matrix("transition", name or f"B_{factor}", factor, [factor], "identity")
        value = self.roles.tensor(name)
        if value is None:
            return unusable
        axes = len(shape_of(value))
        acts = self._is_acted_on(name, axes)
        states = self._depends(name, axes - 1 - acts, own=factor)
        if not states:
            self._which_states(name, axes - 1 - acts)
            return unusable
        before = ["previous", *states[1:]]
        last = ["action"] if acts else []
        lengths = [self.roles.sizes[each] or None for each in (factor, *states)]
        sizes = dict(zip(["next", *before], lengths, strict=True)) | dict.fromkeys(last)
        orders = [("next", *before, *last), (*last, "next", *before), (*last, *before, "next")]
        rare = [(*before, "next", *last)] if acts else []
        read = self._read(name, value, sizes, orders, rare)
        return self._moved(name, factor, states, read, acts=acts) if read else unusable

    def _moved(
        self, name: str, factor: str, states: list[str], read: Reading, *, acts: bool
    ) -> Node:
        """Make a transition, without its axis for the action where there is a single one."""
        if acts:
            control = self._control(name, read.array.shape[-1])
            if read.array.shape[-1] > 1:
                return self._matrix("transition", name, factor, [*states, control], read.value)
            read = Reading(read.array[..., 0], read.written)
        return self._matrix("transition", name, factor, states, read.value)

    def _is_acted_on(self, name: str, axes: int) -> bool:
        """Tell whether a transition has an axis for the action beside those for states."""
        linked = self.page.linked(name) & {*self.roles.by_role["s"]}
        return axes > _STILL and (bool(self.roles.by_role["u"]) or len(linked) != axes - 1)

    def _depends(self, name: str, count: int, *, own: str) -> list[str]:
        """Give the states that a matrix has an axis for: its own first, else as declared."""
        states = self.roles.by_role["s"]
        linked = [each for each in states if each in self.page.linked(name) and each != own]
        first = [own] if own else []
        same = [each for each in states if ending(each) == ending(name)]
        told = [*first, *(s for s in self._told(name) if s in states and s != own)]
        choices = (told, first, [*first, *linked], [*first, *(s for s in states if s != own)], same)
        found = next((each for each in choices if len(each) == count), [])
        for each in linked:
            if found and each not in found and each in self.page.linked(name, alone=True):
                self.roles.warn(
                    f"`{name}` is connected with `{each}`, but has no axis for it; left out", name
                )
        return found

    def _which_states(self, name: str, axes: int) -> None:
        """Ask which states the axes of a matrix are for."""
        states = ", ".join(f"`{each}`" for each in self.roles.by_role["s"])
        first = "next, previous" if name in self.roles.by_role["B"] else "observation"
        self.roles.error(
            f"`{name}` has {axes} axes for states; which of {states or 'none'} these are is not "
            f"said: connect it with these alone, or write `{name}_axes: {first}, …` with their "
            "names under ## ModelParameters",
            name,
        )

    def _told(self, name: str) -> list[str]:
        """Give the order of axes that the file says a matrix has, in our words."""
        text, _ = self.page.parameters.get(f"{name}_axes", ("", 0))
        return [_SPELLINGS.get(each, each) for each in re.findall(r"[^\s,\[\](){}]+", text)]

    def _read(
        self,
        name: str,
        value: Literal,
        sizes: dict[str, int | None],
        orders: Sequence[Sequence[str]],
        rare: Sequence[Sequence[str]] = (),
    ) -> Reading | None:
        """Put a matrix into our order of axes, and say so where it was written in another."""
        told = self._told(name)
        if told and sorted(told) != sorted(sizes):
            self.roles.error(f"`{name}_axes` must name each of {', '.join(sizes)} once", name)
            return None
        try:
            read = read_axes(name, value, sizes, orders, rare=rare, told=told)
        except AxesError as unclear:
            self.roles.error(str(unclear), name)
            return None
        if note := _note(name, read, tuple(sizes), asked=not told):
            self.roles.warn(note, name)
        return read

    def _control(self, name: str, size: int) -> str:
        """Give the action that a transition depends on, and keep how many values it has."""
        candidates = self.roles.by_role["u"] or [f"u{name[1:]}"]
        control = self.roles.partner(name, candidates)
        if size == 1 and ending(control) != ending(name):
            return ""
        said = [self._whole("num_actions")] if len(candidates) == 1 else []
        said += [*self.roles.declared(control)[:1], self.actions.get(control, 0)]
        # `u[1,type=int]` declares the index of an action.
        other = next((each for each in said if each > 1 and each != size), 0)
        if not control and size > 1:
            self.roles.error(f"which action `{name}` depends on is not said: connect them", name)
        elif other and control:
            self.roles.error(
                f"`{name}` has {size} values of the action, but `{control}` has {other}",
                name,
            )
        elif size > 1:
            self.actions[control] = size
        return control

    def _matrix(self, kind: str, name: str, to: str, of: Sequence[str], matrix: Value) -> Node:
        fields: dict[str, Value] = {"to": _word(to), "from": tuple(map(_word, of))}
        fields["matrix"] = matrix
        return self._valued(kind, name, fields)

    def _valued(self, kind: str, name: str, fields: dict[str, Value]) -> Node:
        return _node(kind, _word(name), fields, *self.roles.place(name))

    # -- vectors ---------------------------------------------------------------------------------

    def _preference(self, name: str) -> Node | None:
        modality = self.roles.modality_of.get(name)
        if name not in self.page.values and name not in self.page.unread:
            self.roles.warn(f"no values for `{name}`: it prefers nothing; left out", name)
            return None
        values = self.roles.vector(name) or UNREAD
        over = _word(modality) if modality else UNREAD
        return self._valued("preference", name, {"over": over, "values": values})

    def _habit(self) -> Node | None:
        given = [name for name in self.roles.by_role["E"] if name in self.page.values]
        if len(given) > 1:
            names = ", ".join(f"`{name}`" for name in given)
            self.roles.error(f"an agent has one habit; here are {names}", given[1])
        if not given:
            return None
        return self._valued("habit", given[0], {"values": self.roles.vector(given[0]) or UNREAD})


def _note(name: str, read: Reading, ours: tuple[str, ...], *, asked: bool) -> str:
    """Say how a matrix was read; nothing where that goes without saying."""
    states = set(ours) - {"observation", "next", "action"}
    row = f"[{', '.join(ours)}]"
    if read.written != ours:
        note = f"`{name}` was given [{', '.join(read.written)}]; read as {row}"
    elif asked and read.rarely:
        note = f"`{name}` was read as {row}"
    elif asked and len(states) > 1:
        note = f"`{name}` was read as {row}, the states in this order"
    else:
        note = ""
    if read.rarely:
        other = ", ".join(read.rarely)
        note += f"; if it is [{other}], say `{name}_axes: {other}` under ## ModelParameters"
    return note


def _node(
    kind: str, name: str, fields: Mapping[str, Value | Field], line: int = 0, column: int = 0
) -> Node:
    placed = {
        key: value if isinstance(value, Field) else Field(value, line, column)
        for key, value in fields.items()
    }
    return Node(kind, name, placed, line, column)


def _word(text: str) -> str:
    """Make a name of a text: `Two armed bandit` becomes `Two_armed_bandit`."""
    word = re.sub(r"\W+", "_", text).strip("_")[:80]
    return f"_{word}" if word[:1].isdigit() else word
