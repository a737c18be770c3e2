"""Nodes that are tied together by edges, as in two other dialects, read as nodes of ours.

Those dialects say with edges what ours says with `to`, `from` and `over`. Which end of an edge
depends on which is written both ways there, so only the kinds of the two ends count; where that
leaves more than one reading, it is an error that says what to write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from llmport_magic.gmn.findings import Finding
from llmport_magic.gmn.notation.nodes import UNREAD, Call, Field, Node, Value
from llmport_magic.gmn.notation.scanner import MAX_FINDINGS
from llmport_magic.gmn.notation.spellings import BELIEF, KINDS, field_of, kind_of, meant
from llmport_magic.gmn.notation.values import quoted

RELATIONS = ("depends_on", "influences", "updates", "queries", "generates")
# What an agent here has of its own, or does without.
LEFT_OUT = ("policy", "llm_query", "llm")
# An agent with more could not act: every one of its policies is looked at.
MAX_NODES = 1_000
MAX_EDGES = 3_000
_SIZES = {"num_states", "num_observations", "num_actions"}
_SPACES = ("state", "observation", "action")
_ABOUT = "about"
_PREFERRED = "preferred_observation"


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge as it was written, with where it stands (from 1; 0 where there is no text)."""

    source: str
    target: str
    relation: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return quoted(f"{self.source} -> {self.target}: {self.relation}")


def wire(nodes: Sequence[Node], edges: Sequence[Edge]) -> tuple[list[Node], list[Finding]]:
    """Read nodes and edges as the nodes of our notation.

    Args:
        nodes: their kinds and fields as those dialects have them; an `agent` may be among them.
        edges: between their names.

    Returns:
        Nodes of our kinds, each with the fields that the edges stand for; and what was found.
    """
    if len(nodes) > MAX_NODES or len(edges) > MAX_EDGES:
        return [], [Finding(f"more than {MAX_NODES:,} nodes or {MAX_EDGES:,} edges")]
    wiring = _Wiring(nodes)
    wiring.tie(edges)
    made = [*wiring.nodes(), *wiring.missing()]
    wiring.unused()
    return made, wiring.findings


class _Wiring:
    def __init__(self, nodes: Sequence[Node]) -> None:
        self.findings: list[Finding] = []
        self.given: list[Node] = []
        self.kinds: dict[str, str] = {}
        self.edges: list[Edge] = []
        self._read: set[Edge] = set()
        for node in nodes:
            kind = _kind(node.kind)
            if not kind:
                known = (*KINDS, BELIEF, "likelihood", *LEFT_OUT)
                self._error(
                    f"there is no kind of node called {quoted(node.kind)}{meant(node.kind, known)}",
                    node,
                )
                continue
            if kind in LEFT_OUT:
                self._warn(f"`{node.name}` ({node.kind}): an agent does without; left out", node)
            else:
                self.given.append(replace(node, kind=kind, fields=_renamed(kind, node)))
            if kind != "agent":
                self.kinds.setdefault(node.name, kind)

    def _error(self, text: str, at: Node | Edge) -> None:
        name = at.name if isinstance(at, Node) else ""
        self.findings.append(Finding(text, "error", name, at.line, at.column))

    def _warn(self, text: str, at: Node | Edge) -> None:
        name = at.name if isinstance(at, Node) else ""
        self.findings.append(Finding(text, "warning", name, at.line, at.column))

    # -- edges -----------------------------------------------------------------------------------

    def tie(self, edges: Sequence[Edge]) -> None:
        """Take the edges that can be read."""
        for edge in edges:
            if sum(each.level == "error" for each in self.findings) > MAX_FINDINGS:
                break
            relation = kind_of_relation(edge.relation)
            unknown = [name for name in (edge.source, edge.target) if name not in self.kinds]
            if not relation:
                self._error(
                    f"{edge}: there is no such relation{meant(edge.relation, RELATIONS)} "
                    f"({', '.join(RELATIONS)})",
                    edge,
                )
            for name in unknown:
                self._error(
                    f"{edge}: there is no node {quoted(name)}{meant(name, self.kinds)}", edge
                )
            if relation and not unknown:
                known = replace(edge, relation=relation)
                if fault := self._fault(known):
                    self._error(f"{edge}: {fault}", edge)
                self.edges.append(known)
        self._circles()

    def _fault(self, edge: Edge) -> str:
        """Say why an edge cannot be meant so; empty where it can."""
        source, target = self.kinds[edge.source], self.kinds[edge.target]
        if edge.relation == "generates" and source not in {"state", "emission", "transition"}:
            return "only a state, a likelihood or a transition generates something"
        if edge.relation == "depends_on" and (source, target) == ("state", "observation"):
            said = f"{edge.source} -> {edge.target}: generates"
            return f"no state depends on an observation; write `{said}`"
        if edge.relation == "depends_on" and source == "action" and target in _SPACES:
            return "what an agent does follows from its beliefs; leave the edge out"
        return ""

    def _circles(self) -> None:
        """Find what depends on itself; over a transition it may, for that goes one step on."""
        depends: dict[str, set[str]] = defaultdict(set)
        for edge in self.edges:
            ends = {self.kinds[edge.source], self.kinds[edge.target]}
            if edge.relation == "depends_on" and "transition" not in ends:
                depends[edge.source].add(edge.target)
        try:
            TopologicalSorter(depends).prepare()
        except CycleError as circle:
            names = " -> ".join(circle.args[1])
            at = next(e for e in self.edges if {e.source, e.target} <= set(circle.args[1]))
            self._error(f"`{names}`: what depends on itself has no beginning", at)

    def _near(self, name: str, *kinds: str) -> list[str]:
        """Give the nodes of these kinds that share an edge with a node, in the edges' order."""
        found = []
        for edge in self.edges:
            if name in {edge.source, edge.target} and edge.source != edge.target:
                other = edge.target if edge.source == name else edge.source
                if self.kinds[other] in kinds:
                    self._read.add(edge)
                    found.append(other)
        return list(dict.fromkeys(found))

    def _of_kind(self, kind: str) -> list[Node]:
        return [node for node in self.given if node.kind == kind]

    # -- nodes -----------------------------------------------------------------------------------

    def nodes(self) -> Iterator[Node]:
        """Give the nodes that were written, with what the edges say of them."""
        beliefs = self._beliefs()
        for node in self.given:
            match node.kind:
                case "state":
                    yield self._state(node, beliefs)
                case "emission":
                    yield self._emission(node)
                case "transition":
                    yield self._transition(node)
                case "preference":
                    yield self._preference(node)
                case kind if kind != BELIEF:
                    yield node

    def _beliefs(self) -> dict[str, Field]:
        """Give what is believed at the beginning, by state."""
        found: dict[str, Field] = {}
        for node in self._of_kind(BELIEF):
            about = [str(node.fields[key].value) for key in ("over", _ABOUT) if key in node.fields]
            states = [node.name for node in self._of_kind("state")]
            about = about or self._near(node.name, "state") or states
            values = node.fields.get("values")
            if len(about) != 1 or about[0] not in states:
                edge = f"{node.name} -> {states[0] if states else 'STATE'}: depends_on"
                self._error(f"which state `{node.name}` is about is not said: write `{edge}`", node)
            elif values and about[0] in found:
                self._error(f"`{about[0]}` has two beliefs to begin with", node)
            elif values:
                found[about[0]] = values
        return found

    def _state(self, node: Node, beliefs: dict[str, Field]) -> Node:
        own = any(field_of("state", key) == "initial" for key in node.fields)
        if node.name not in beliefs:
            if not own:
                self._warn(f"no initial belief for `{node.name}`: it starts uniform", node)
            return node
        if own:
            self._error(f"`{node.name}` has two beliefs to begin with", node)
        return _with(node, initial=beliefs[node.name])

    def _emission(self, node: Node) -> Node:
        fields: dict[str, Value] = {}
        if observations := self._near(node.name, "observation"):
            fields["to"] = _names(observations)
        if states := self._near(node.name, "state"):
            fields["from"] = _names(states)
        if not any(field_of("emission", key) == "matrix" for key in node.fields):
            self._warn(f"`{node.name}` has no matrix: uniform, so it says nothing", node)
            fields["matrix"] = "uniform"
        return _with(node, **_unsaid(node, fields))

    def _transition(self, node: Node) -> Node:
        fields: dict[str, Value] = {}
        near, actions = self._near(node.name, "state"), self._near(node.name, "action")
        changed = [
            edge.target
            for edge in self.edges
            if edge.source == node.name
            and edge.relation != "depends_on"
            and self.kinds[edge.target] == "state"
        ]
        to = near if len(near) == 1 else list(dict.fromkeys(changed))
        if len(to) == 1:
            fields["to"] = to[0]
            before = [
                each for each in near if each not in to or self._comes_before(each, node.name)
            ]
            fields["from"] = _names([*(before or to), *actions])
        elif near and "to" not in node.fields:
            self._error(
                f"which of the states {', '.join(f'`{n}`' for n in near)} `{node.name}` changes is "
                f"not said: write `{node.name} -> {near[0]}: updates`, or another of them",
                node,
            )
            fields["to"] = near[0]
            fields["from"] = _names([*near, *actions])
        elif actions:
            states = [each.name for each in self._of_kind("state")]
            fields["from"] = _names([*(states if len(states) == 1 else []), *actions])
        if not any(field_of("transition", key) == "matrix" for key in node.fields):
            self._warn(f"`{node.name}` has no matrix: nothing changes (`identity`)", node)
            fields["matrix"] = "identity"
        return _with(node, **_unsaid(node, fields))

    def _comes_before(self, state: str, transition: str) -> bool:
        """Tell whether an edge says that a transition starts from a state."""
        return any(
            (edge.source, edge.target) == (state, transition)
            or ((edge.source, edge.target) == (transition, state) and edge.relation == "depends_on")
            for edge in self.edges
        )

    def _preference(self, node: Node) -> Node:
        fields: dict[str, Value] = {}
        if about := self._near(node.name, "observation", "state"):
            fields["over"] = _names(about)
        elif "preferred_state" in node.fields and "state" not in node.fields:
            fields["over"] = _names([each.name for each in self._of_kind("state")])
        return _with(node, **_unsaid(node, fields))

    # -- what nobody wrote -----------------------------------------------------------------------

    def missing(self) -> Iterator[Node]:
        """Give the matrices that are only hinted at by an edge, or not at all."""
        emitted = {
            name for n in self._of_kind("emission") for name in self._targets(n, "observation")
        }
        moved = {name for n in self._of_kind("transition") for name in self._targets(n, "state")}
        states = [each.name for each in self._of_kind("state")]
        for node in self._of_kind("observation"):
            of = self._near(node.name, "state") or states[:1]
            if node.name not in emitted and of:
                self._warn(f"no likelihood for `{node.name}`: uniform, so it says nothing", node)
                fields = {"to": node.name, "from": _names(of), "matrix": "uniform"}
                yield self._made("emission", f"{node.name}_likelihood", node, fields)
        for node in self._of_kind("state"):
            by = self._near(node.name, "action")
            if node.name not in moved and by:
                self._warn(f"no transition for `{node.name}`: nothing changes (`identity`)", node)
                fields = {"to": node.name, "from": _names([node.name, *by]), "matrix": "identity"}
                yield self._made("transition", f"{node.name}_transition", node, fields)

    def _targets(self, node: Node, kind: str) -> list[str]:
        """Give what a matrix is about: by its edges, its own field, or as the only one there is."""
        said = [str(f.value) for key, f in node.fields.items() if field_of(node.kind, key) == "to"]
        there = [each.name for each in self._of_kind(kind)]
        return said or self._near(node.name, kind) or (there if len(there) == 1 else [])

    def _made(self, kind: str, name: str, near: Node, fields: dict[str, Value]) -> Node:
        while name in self.kinds:
            name += "_"
        return _with(Node(kind, name, {}, near.line, near.column), **fields)

    def unused(self) -> None:
        """Say which edges nothing was read from."""
        for edge in self.edges:
            ends = {self.kinds[edge.source], self.kinds[edge.target]}
            if edge not in self._read and not ends & set(LEFT_OUT):
                self._warn(f"{edge} says nothing that an agent needs; left out", edge)


def kind_of_relation(written: str) -> str:
    """Give the relation that is meant, or nothing."""
    folded = "".join(each for each in written.lower() if each.isalnum())
    return next((each for each in RELATIONS if each.replace("_", "") == folded), "")


def _kind(written: str) -> str:
    folded = written.strip().lower().replace("-", "_").replace(" ", "_")
    return folded if folded in LEFT_OUT else kind_of(written) or ""


def _renamed(kind: str, node: Node) -> dict[str, Field]:
    """Give the fields under our names where those dialects have others of their own."""
    fields: dict[str, Field] = {}
    for key, field in node.fields.items():
        name = "size" if key in _SIZES and kind in _SPACES else key
        if kind in {BELIEF, "preference"} and field_of(kind, key) == "values":
            name = "values"
        value = field.value
        if kind == "preference" and key == _PREFERRED and value is not UNREAD:
            name, value = "values", Call("goal", (value,))
        fields.setdefault(name if name not in node.fields else key, replace(field, value=value))
    return fields


def _unsaid(node: Node, fields: dict[str, Value]) -> dict[str, Value]:
    """Give the fields that a node does not have already."""
    said = {field_of(node.kind, key) for key in node.fields}
    return {key: value for key, value in fields.items() if key not in said}


def _with(node: Node, **fields: Value | Field) -> Node:
    """Give a node with further fields."""
    placed = {
        key: value if isinstance(value, Field) else Field(value, node.line, node.column)
        for key, value in fields.items()
    }
    return replace(node, fields={**node.fields, **placed})


def _names(names: Sequence[str]) -> Value:
    return names[0] if len(names) == 1 else tuple(names)
