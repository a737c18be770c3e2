"""The names of a specification's nodes, and what refers to them."""

from __future__ import annotations

from collections.abc import Sequence

from llmport_magic.gmn.notation.fields import Fields
from llmport_magic.gmn.notation.nodes import Node
from llmport_magic.gmn.notation.scanner import Findings
from llmport_magic.gmn.notation.spellings import BELIEF, KINDS, kind_of, meant, name_of
from llmport_magic.gmn.notation.values import quoted

# What others refer to by name.
_SPACES = ("state", "observation", "action")
_AN = {"observation": "an observation", "action": "an action", "state": "a state"}


class Naming:
    """Sorts nodes by kind, and finds the node that a field names.

    Attributes:
        found: what is wrong so far.
        unread: whether something was there that could not be read.
        kinds: the kind of each node, by its name.
        of_kind: the fields of the nodes of each kind, in the order of the text.
    """

    def __init__(self) -> None:
        self.found = Findings()
        self.unread = False
        self.kinds: dict[str, str] = {}
        self.of_kind: dict[str, list[Fields]] = {kind: [] for kind in (*KINDS, BELIEF)}

    def sort(self, nodes: Sequence[Node]) -> None:
        """Sort the nodes by kind, under names of which each stands for one of them."""
        named: list[tuple[str, str, Node]] = []
        ordered = sorted(nodes, key=lambda node: kind_of(node.kind) not in _SPACES)
        for node in ordered:
            kind = kind_of(node.kind)
            if kind is None:
                self.found.error(
                    f"there is no kind of node called {quoted(node.kind)}"
                    f"{meant(node.kind, KINDS)} ({', '.join(KINDS)})",
                    (node.line, node.column),
                    node.name,
                )
                self.unread = True
                continue
            name = self._name(kind, node)
            if kind != "agent":
                self.kinds.setdefault(name, kind)
            named.append((kind, name, node))
        place = {id(node): at for at, node in enumerate(nodes)}
        for kind, name, node in sorted(named, key=lambda each: place[id(each[2])]):
            fields = Fields(kind, name, node, self.found, self.kinds)
            self.of_kind[kind].append(fields)

    def _name(self, kind: str, node: Node) -> str:
        place = (node.line, node.column)
        name = name_of(node.name)
        if not name:
            self.found.error(
                f"{quoted(node.name)} cannot name a node: a name has letters, digits and `_`, and "
                "begins with no digit",
                place,
                node.name,
            )
            name = node.name
        elif name != node.name:
            self.found.warn(f"{quoted(node.name)} is read as `{name}`", place, name)
        if kind == "agent" or name not in self.kinds:
            return name
        if kind in _SPACES or self.kinds[name] == kind:
            self.found.error(f"the name `{name}` is given to two nodes", place, name)
            return name
        # Nobody refers to it by name, so another name changes nothing.
        free = f"{name}_{kind}"
        while free in self.kinds:
            free += "_"
        self.found.warn(f"two nodes are called `{name}`; the {kind} becomes `{free}`", place, free)
        return free

    def ref(self, fields: Fields, key: str, word: str, *kinds: str) -> str | None:
        """Give the node that a field refers to, of one of these kinds."""
        known = [name for name, kind in self.kinds.items() if kind in kinds]
        name = word if word in self.kinds else name_of(word)
        if name not in self.kinds:
            same = [each for each in known if each.lower() == name.lower()]
            if len(same) == 1:
                fields.warn(f"{quoted(word)} is read as `{same[0]}`", key)
                return same[0]
            wanted = " or ".join(kinds)
            fields.error(
                f"`{key}` of `{fields.name}` names {quoted(word)}, and there is no such {wanted}"
                f"{meant(word, known)}",
                key,
            )
            return None
        if self.kinds[name] in kinds:
            return name
        is_kind = _AN.get(self.kinds[name], f"a {self.kinds[name]}")
        fields.error(
            f"`{key}` of `{fields.name}` must name {' or '.join(_AN[kind] for kind in kinds)}; "
            f"`{name}` is {is_kind}",
            key,
        )
        return None

    def one(self, fields: Fields, key: str, *kinds: str) -> str | None:
        """Give the one node that a field names, or the only one there is."""
        if fields.has(key):
            names = fields.names(key)
            if len(names) == 1:
                return self.ref(fields, key, names[0], *kinds)
            if names:
                fields.error(f"`{key}` of `{fields.name}` must name one node, not several", key)
            elif not fields.unread:
                fields.error(f"`{key}` of `{fields.name}` names nothing", key)
            return None
        known = [name for name, kind in self.kinds.items() if kind in kinds]
        if len(known) == 1:
            fields.warn(f"`{fields.name}` has no `{key}`; it is about `{known[0]}`, the only one")
            return known[0]
        if known:
            fields.error(
                f"`{fields.name}` has no `{key}`: add `{key}: {known[0]}`, or another of "
                f"{', '.join(known[:5])}"
            )
        return None
