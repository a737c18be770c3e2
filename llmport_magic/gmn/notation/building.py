"""From nodes to a specification: names, references and what must be there; no arrays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from llmport_magic.gmn.findings import Finding
from llmport_magic.gmn.notation.fields import MAX_SIZE, Fields
from llmport_magic.gmn.notation.naming import Naming
from llmport_magic.gmn.notation.nodes import Call, Node, Value
from llmport_magic.gmn.notation.scanner import TooMuchError
from llmport_magic.gmn.notation.spellings import BELIEF
from llmport_magic.gmn.notation.values import quoted, write_value
from llmport_magic.gmn.spec import (
    Control,
    Emission,
    Factor,
    Modality,
    Preference,
    Spec,
    Transition,
)

AGENT_TYPES = ("general", "explorer", "trader", "coordinator", "analyst", "creative")
MAX_HORIZON = 1_000
_CELLS = re.compile(r"\s*\d+\s*[x×*]\s*\d+\s*")  # what models write


def build(nodes: Sequence[Node]) -> tuple[Spec | None, list[Finding]]:
    """Make a specification of nodes.

    Returns:
        The specification, or `None` where there is an error or a field that could not be read; and
        at most 20 findings in the order of the text.
    """
    builder = _Builder()
    spec = None
    try:
        spec = builder.build(nodes)
    except TooMuchError:
        builder.unread = True
    found = builder.found.all
    broken = builder.unread or any(each.level == "error" for each in found)
    return None if broken else spec, sorted(found, key=lambda each: (each.line, each.column))


class _Builder(Naming):
    """Builds one specification, kind of node by kind of node."""

    def build(self, nodes: Sequence[Node]) -> Spec:
        """Build it; what is wrong is in `found`."""
        if not nodes:
            self.found.error("there is no node: begin with `node state NAME { size: 2 }`")
            self.unread = True
        self.sort(nodes)
        factors = tuple(self._factor(each) for each in self.of_kind["state"])
        modalities = tuple(self._modality(each) for each in self.of_kind["observation"])
        controls = tuple(self._control(each) for each in self.of_kind["action"])
        # What is not there may be what could not be read.
        if not factors and not self.unread:
            self.found.error("there is no state: add `node state NAME { size: 2 }`")
        if not modalities and not self.unread:
            self.found.error("there is no observation: add `node observation NAME { size: 2 }`")
        emissions = self._emissions()
        transitions = self._transitions()
        agent = self._agent()
        return replace(
            agent,
            factors=self._with_beliefs(factors),
            modalities=modalities,
            controls=controls,
            emissions=emissions,
            transitions=transitions,
            preferences=self._preferences(),
            habit=self._habit(),
        )

    # -- what there is -----------------------------------------------------------------------

    def _space(self, fields: Fields) -> tuple[int, tuple[str, ...], tuple[int, ...]]:
        """Give size, labels and shape, of which each may follow from another."""
        labels = fields.labels()
        shape = fields.shape() if fields.has("shape") else ()
        size = None
        listed = fields.given["size"].value if fields.has("size") else None
        if isinstance(listed, tuple) or (isinstance(listed, str) and _CELLS.fullmatch(listed)):
            cells = fields.shape("size")
            fields.warn("rows and columns are written as `shape: [5, 5]`", "size")
            shape = shape or cells
        else:
            size = fields.integer("size", MAX_SIZE)
        if labels and fields.given["labels"].value == tuple(range(len(labels))):
            # Numbers from 0 name nothing: a state's number is its number anyway.
            size, labels = size or len(labels), ()
        cells_there = shape[0] * shape[1] if shape else None
        unknown = fields.has("size") and size is None and not cells_there
        if size is None and not unknown:
            size = cells_there or len(labels) or None
            if size is None and not fields.has("labels") and not fields.has("shape"):
                fields.lacks("size", "add `size: 2`, or `labels: [first, second]`")
            elif size is not None and size > MAX_SIZE:
                fields.error(f"`{fields.name}` has {size:,} values, more than {MAX_SIZE:,}")
        if labels and size and len(labels) != size:
            fields.error(f"`{fields.name}` has {len(labels)} labels and a size of {size}", "labels")
        if cells_there and size and cells_there != size:
            fields.error(
                f"`{fields.name}` has a shape of {shape[0]} x {shape[1]} = {cells_there:,} and a "
                f"size of {size:,}",
                "shape",
            )
        return size or 1, labels, shape

    def _done(self, fields: Fields) -> None:
        self.unread = self.unread or fields.unread

    def _factor(self, fields: Fields) -> Factor:
        size, labels, shape = self._space(fields)
        initial = self._initial(fields, "initial", labels)
        description = fields.text("description")
        self._done(fields)
        return Factor(
            name=fields.name,
            size=size,
            labels=labels,
            shape=shape,
            initial=initial,
            description=description,
        )

    def _initial(self, fields: Fields, key: str, labels: tuple[str, ...]) -> Value | None:
        """Give the belief at the beginning; `initial: 3` and `initial: home` are one state."""
        value = fields.value(key)
        if value == "none" and value not in labels:
            fields.warn(f"a field that is `{value}` is left out", key)
            return None
        is_index = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and (is_index or (isinstance(value, str) and value in labels)):
            call = Call("onehot", (value,))
            fields.warn(f"one state to begin in is written as `{key}: {write_value(call)}`", key)
            return call
        return fields.array(key)

    def _with_beliefs(self, factors: tuple[Factor, ...]) -> tuple[Factor, ...]:
        """Take beliefs that are written as nodes of their own into their factors."""
        by_name = {each.name: each for each in factors}
        for fields in self.of_kind[BELIEF]:
            fields.warn(
                f"a belief is written as a field: `initial` of its state, not as `{fields.name}`"
            )
            name = self.one(fields, "over", "state")
            if name in by_name:
                values = self._initial(fields, "values", by_name[name].labels)
                if by_name[name].initial is not None:
                    fields.error(f"`{name}` has two beliefs to begin with")
                by_name[name] = replace(by_name[name], initial=values)
            self._done(fields)
        return tuple(by_name[each.name] for each in factors)

    def _modality(self, fields: Fields) -> Modality:
        size, labels, shape = self._space(fields)
        description = fields.text("description")
        self._done(fields)
        return Modality(
            name=fields.name, size=size, labels=labels, shape=shape, description=description
        )

    def _control(self, fields: Fields) -> Control:
        size, labels, _ = self._space(fields)
        description = fields.text("description")
        self._done(fields)
        return Control(name=fields.name, size=size, labels=labels, description=description)

    # -- how it hangs together ---------------------------------------------------------------

    def _sources(self, fields: Fields, *kinds: str) -> tuple[str, ...]:
        """Give the nodes that `from` lists, each once."""
        words = fields.names("from")
        names = [self.ref(fields, "from", word, *kinds) for word in words]
        if None in names:
            fields.unread = True
        known = [name for name in names if name is not None]
        for name in [name for name, count in Counter(known).items() if count > 1]:
            fields.error(f"`from` of `{fields.name}` names `{name}` twice", "from")
        return tuple(dict.fromkeys(known))

    def _emissions(self) -> tuple[Emission, ...]:
        made: dict[str, Emission] = {}
        unclear = self.unread
        for fields in self.of_kind["emission"]:
            to = self.one(fields, "to", "observation")
            if fields.has("from"):
                of = self._sources(fields, "state")
                if not of and not fields.unread:
                    fields.error(f"`from` of `{fields.name}` names nothing", "from")
            else:
                only = self.one(fields, "from", "state")
                of = (only,) if only else ()
            matrix = fields.array("matrix")
            if matrix is None and not fields.has("matrix"):
                fields.lacks(
                    "matrix", "add `matrix: identity`, `matrix: noisy(0.9)` or the numbers"
                )
            description = fields.text("description")
            self._done(fields)
            unclear = unclear or to is None
            if to is None:
                continue
            if to in made:
                fields.error(f"`{to}` has two emissions, `{made[to].name}` and `{fields.name}`")
            made[to] = Emission(
                name=fields.name, to=to, of=of, matrix=matrix or "", description=description
            )
        for each in self.of_kind["observation"]:
            if each.name not in made and not unclear:
                state = next((n for n, kind in self.kinds.items() if kind == "state"), "STATE")
                each.error(
                    f"nothing says how `{each.name}` comes about: add `node emission NAME "
                    f"{{ to: {each.name}, from: {state}, matrix: noisy(0.9) }}`"
                )
        return tuple(made.values())

    def _transitions(self) -> tuple[Transition, ...]:
        made: dict[str, Transition] = {}
        unclear = self.unread
        for fields in self.of_kind["transition"]:
            each = self._transition(fields)
            self._done(fields)
            unclear = unclear or each is None
            if each is None:
                continue
            if each.to in made:
                fields.error(
                    f"`{each.to}` has two transitions, `{made[each.to].name}` and `{each.name}`; "
                    "write one that depends on all it needs"
                )
            made[each.to] = each
        if unclear:
            return tuple(made.values())
        for state in self.of_kind["state"]:
            if state.name not in made:
                state.warn(f"`{state.name}` has no transition, and never changes")
        used = {each.by for each in made.values()}
        for action in self.of_kind["action"]:
            if action.name not in used:
                action.warn(f"`{action.name}` changes nothing: no transition has it in `from`")
        return tuple(made.values())

    def _transition(self, fields: Fields) -> Transition | None:
        sources = self._sources(fields, "state", "action") if fields.has("from") else ()
        of = tuple(name for name in sources if self.kinds[name] == "state")
        by = self._by(fields, sources)
        if fields.has("to") or len(of) != 1:
            to = self.one(fields, "to", "state")
        else:
            to = of[0]
            fields.warn(f"`{fields.name}` has no `to`; it is about `{to}`")
        matrix = fields.array("matrix")
        description = fields.text("description")
        if not fields.has("matrix"):
            matrix = self._without_matrix(fields, by)
        if to is None or fields.unread:
            return None
        if not of:
            of = self._own_past(fields, to, by, matrix)
        listed = isinstance(matrix, tuple)
        if listed and by is not None and by in sources and sources[-1] != by:
            fields.warn("the action is the last axis of a matrix, wherever `from` has it", "from")
        return Transition(
            name=fields.name, to=to, of=of, by=by, matrix=matrix or "", description=description
        )

    def _by(self, fields: Fields, sources: tuple[str, ...]) -> str | None:
        """Give the action that a transition depends on, from `from` or a field of its own."""
        actions = [name for name in sources if self.kinds[name] == "action"]
        if fields.has("by"):
            name = self.one(fields, "by", "action")
            fields.warn("the action of a transition belongs into `from`", "by")
            actions = list(dict.fromkeys([*actions, *([name] if name else [])]))
        if len(actions) > 1:
            fields.error(
                f"`{fields.name}` depends on {len(actions)} actions ({', '.join(actions)}); a "
                "transition may depend on one: make one action of them",
                "from",
            )
        return actions[0] if actions else None

    def _without_matrix(self, fields: Fields, by: str | None) -> Value | None:
        if by is not None:
            fields.error(
                f"`{fields.name}` has no matrix: add `matrix: grid(5, 5)`, another constructor or "
                "the numbers"
            )
            return None
        fields.warn(f"`{fields.name}` has no matrix; nothing changes by itself (`identity`)")
        return Call("identity")

    def _own_past(
        self, fields: Fields, to: str, by: str | None, matrix: Value | None
    ) -> tuple[str, ...]:
        """Give what comes before where `from` names no state: mostly the state itself."""
        if not fields.has("from") and by is None and self.of_kind["action"]:
            action = self.of_kind["action"][0].name
            fields.error(f"`{fields.name}` has no `from`: add `from: [{to}, {action}]`")
        elif isinstance(matrix, tuple) and by is not None:
            fields.error(
                f"`from` of `{fields.name}` names no state, and its matrix has an axis for each: "
                f"write `from: [{to}, {by}]`",
                "from",
            )
        else:
            fields.warn(f"`from` of `{fields.name}` names no state; it is about `{to}` before")
        return (to,)

    def _preferences(self) -> tuple[Preference, ...]:
        made: dict[str, Preference] = {}
        for fields in self.of_kind["preference"]:
            over = self._preferred(fields)
            values = fields.array("values")
            if not fields.has("values"):
                fields.lacks("values", "add `values: goal(0, 2.0)` or one for each")
            description = fields.text("description")
            self._done(fields)
            if over is None:
                continue
            if over in made:
                fields.error(
                    f"`{over}` has two preferences, `{made[over].name}` and `{fields.name}`; add "
                    "them up with `sum(…)`"
                )
            made[over] = Preference(
                name=fields.name, over=over, values=values or (), description=description
            )
        return tuple(made.values())

    def _preferred(self, fields: Fields) -> str | None:
        if fields.has("over"):
            return self.one(fields, "over", "observation", "state")
        return self.one(fields, "over", "observation")

    def _habit(self) -> Value | None:
        habits = self.of_kind["habit"]
        for fields in habits[1:]:
            fields.error("there are two habits; a specification has one prior over policies")
        values = None
        for fields in habits[:1]:
            values = fields.array("values")
            if not fields.has("values"):
                fields.lacks("values", "add one for each policy")
            self._done(fields)
        return values

    # -- the agent ---------------------------------------------------------------------------

    def _agent(self) -> Spec:
        """Give a specification with nothing but what is said of the agent."""
        agents = self.of_kind["agent"]
        for fields in agents[1:]:
            fields.error("there are two agents; a specification is about one")
        empty = Spec(factors=(), modalities=(), emissions=())
        if not agents:
            return empty
        fields = agents[0]
        made = replace(
            empty,
            name=fields.name,
            agent_type=self._agent_type(fields),
            horizon=fields.integer("horizon", MAX_HORIZON) or empty.horizon,
            precision=fields.real("precision") or empty.precision,
            description=fields.text("description"),
        )
        self._done(fields)
        return made

    def _agent_type(self, fields: Fields) -> str:
        written = fields.text("type")
        if written in AGENT_TYPES or not written:
            return written or "general"
        words = written.lower().replace("_", " ").replace("-", " ").split()
        meant_types = [each for each in AGENT_TYPES if each in words]
        taken = meant_types[0] if len(meant_types) == 1 else "general"
        fields.warn(
            f"there is no type of agent called {quoted(written)}, so it is `{taken}` "
            f"({', '.join(AGENT_TYPES)})",
            "type",
        )
        return taken
