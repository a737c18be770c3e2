"""Putting an answer that holds only what is new or changed into the module that it changes.

The rule, by top-level name:

1. A definition or an assignment stands where the one of its name stood; comments and blank lines
   around it stay. A name that is bound several times is replaced one by one.
2. New imports go behind the imports, new assignments that need nothing of the module behind its
   first assignments, and everything else to the end, before an `if __name__` block; what a
   changed definition needs while the module is imported stands before that one.
3. `del NAME` takes a definition out with the comment directly above it. A class keeps every
   method that `del CLASS.METHOD` does not name: an answer whose class lacks one cannot be used.
4. Everything else stays to the letter, the module's docstring included.

An answer never counts as the whole module, however many names it holds: it was written without
having seen the rest. Where it holds the rest as the outline showed it, with `...`, that is passed
over; where it has a text for something that was not shown, it cannot be used.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

from llmport_magic.errors import VerificationError
from llmport_magic.modules.gate import parse_module
from llmport_magic.modules.line_edits import LineEdits
from llmport_magic.modules.outline import is_left_out, lost
from llmport_magic.modules.statements import (
    DEFINITIONS,
    FUNCTIONS,
    IMPORTS,
    MAIN,
    Statement,
    alias_name,
    methods_of,
    names_of,
    read_statements,
)

_ASSIGNMENTS = (ast.Assign, ast.AnnAssign)


def merge(current: str, answer: str, shown: Collection[str] | None = None) -> str:
    """Give the module with the answer's definitions in it.

    Args:
        current: the module's text.
        answer: the new and changed definitions, assignments and imports, as Python.
        shown: the names whose text the answer's writer had seen; `None` is all of them.

    Raises:
        VerificationError: the answer cannot be put in; the findings say why.
    """
    try:
        work = _Merge(current, read_statements(answer), shown)
        merged = work.result()
    except RecursionError:
        raise _unusable("the code is nested too deeply", answer) from None
    except _Unfit as why:
        raise _unusable(str(why), answer) from None
    parse_module(merged)
    return merged


class _Unfit(Exception):
    """Says why an answer cannot be put in."""


def _unusable(why: str, answer: str) -> VerificationError:
    return VerificationError(
        f"the answer cannot be put into the module: {why}", findings=(why,), source=answer
    )


class _Merge:
    """One answer on its way into one module."""

    def __init__(
        self, current: str, answer: Sequence[Statement], shown: Collection[str] | None
    ) -> None:
        self._lines = current.rstrip("\n").split("\n") if current.strip() else []
        self._current = read_statements(current)
        self._shown = shown
        self._edits = LineEdits()
        own = _bound_by(answer) - _bound_by(self._current)
        gone = [each for each in answer if _is_deletion(each, own)]
        self._deleted = {text for each in gone for text in _targets(each.node)}
        self._answer = [each for each in answer if each not in gone]
        self._changed: list[tuple[Statement, Statement]] = []
        self._new: list[Statement] = []
        self._passed_over = False

    def result(self) -> str:
        """Give the merged text."""
        self._delete()
        self._import()
        for old, new in self._pairs():
            self._replace(old, new)
        self._add()
        if self._passed_over and not (self._edits.before or self._edits.instead):
            raise _Unfit("it leaves everything out with `...`")
        return self._edits.written(self._lines)

    # -- what goes -------------------------------------------------------------------------------

    def _delete(self) -> None:
        kept = _bound_by(self._answer)
        for text in sorted(self._deleted):
            name, _, method = text.partition(".")
            if method and name not in kept:
                raise _Unfit(f"`del {text}` comes without the class: give `{name}` whole")
            if name in kept:
                continue
            found = [each for each in self._current if name in each.names]
            if not found:
                raise _Unfit(f"`del {name}` names nothing that the module has")
            for each in found:
                if each.names != {name} or each.shares:
                    raise _Unfit(
                        f"`{name}` stands in one statement with others, and cannot go alone"
                    )
                self._edits.instead[each.above] = (each.end, "")

    # -- imports ---------------------------------------------------------------------------------

    def _import(self) -> None:
        """Add what is not imported yet."""
        known = {_imported(*each) for each in _aliases(self._current)}
        future, at = self._import_lines()
        for statement in self._answer:
            node = statement.node
            if not isinstance(node, IMPORTS):
                continue
            new = [alias for alias in node.names if _imported(node, alias) not in known]
            known.update(_imported(node, alias) for alias in new)
            for alias in new:
                self._refuse_other_meaning(node, alias)
            if new:
                whole = len(new) == len(node.names)
                text = _text(statement) if whole else ast.unparse(_only(node, new))
                self._edits.before[future if _is_future(node) else at].append(text)

    def _refuse_other_meaning(self, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> None:
        """Refuse an import whose name means something else; `a.b` and `a.c` are both `a`."""
        name = alias_name(alias)
        plain = isinstance(node, ast.Import) and not alias.asname
        roots = {
            alias_name(own)
            for other, own in _aliases(self._current)
            if isinstance(other, ast.Import) and not own.asname
        }
        if name in _bound_by(self._current) and not (plain and name in roots):
            raise _Unfit(f"it imports `{name}`, which the module has already as something else")

    def _import_lines(self) -> tuple[int, int]:
        """Give the line for new imports from `__future__`, and that for the others."""
        future = at = _head(self._lines)
        for number, each in enumerate(self._current):
            if (each.is_docstring and not number) or _is_future(each.node):
                future = at = each.end
            elif each.is_import:
                at = each.end
            else:
                break
        return future, at

    # -- what stays in its place -----------------------------------------------------------------

    def _pairs(self) -> Iterator[tuple[Statement, list[Statement]]]:
        """Give each statement of the module with what replaces it, and note what is new."""
        groups: dict[frozenset[str], list[Statement]] = defaultdict(list)
        texts = {each.text.strip() for each in self._current}
        for each in self._answer:
            if isinstance(each.node, (*IMPORTS, ast.Pass)) or _is_constant(each.node):
                continue
            if each.names and not isinstance(each.node, ast.AugAssign):
                groups[each.names].append(each)
            elif each.text.strip() not in texts:
                self._new.append(each)
        for names, new in groups.items():
            old = self._of_names(names, new[0])
            if not old:
                self._refuse_method(new[0])
                self._new.extend(new)
            elif len(old) == len(new):
                yield from ((was, [becomes]) for was, becomes in zip(old, new, strict=True))
            elif len(old) == 1:
                yield old[0], new
            else:
                raise _Unfit(
                    f"the module binds `{min(names)}` {len(old)} times, it {len(new)} times"
                )

    def _of_names(self, names: frozenset[str], new: Statement) -> list[Statement]:
        touched = [each for each in self._current if each.names & names]
        if new.is_block and len(touched) == 1 and touched[0].is_block:
            fits = touched[0].names <= names
        else:
            fits = all(each.names == names and each.is_block == new.is_block for each in touched)
        if not fits:
            raise _Unfit(f"`{min(names)}` stands in one statement with others: give it as a whole")
        return touched

    def _refuse_method(self, new: Statement) -> None:
        """Refuse a method that stands alone: it would become a function."""
        if not isinstance(new.node, FUNCTIONS):
            return
        given = [each.arg for each in (*new.node.args.posonlyargs, *new.node.args.args)]
        owners = [
            min(each.names) for each in self._current if new.node.name in methods_of(each.node)
        ]
        if owners and given[:1] in (["self"], ["cls"]):
            raise _Unfit(f"`{new.node.name}` stands alone: give the whole class `{owners[0]}`")

    def _replace(self, old: Statement, new: Sequence[Statement]) -> None:
        texts = [_text(each) for each in new]
        if texts == [old.text]:
            return
        name = min(old.names)
        if self._shown is not None and not old.names <= set(self._shown):
            if not all(is_left_out(each.node) for each in new):
                raise _Unfit(f"it changes `{name}`, whose text was not given")
            self._passed_over = True
            return
        if old.shares:
            raise _Unfit(f"`{name}` shares a line with another statement")
        for each in lost(old.node, new[-1].node, name):
            if each not in self._deleted:
                raise _Unfit(f"it leaves out `{each}`: give `{name}` whole, or write `del {each}`")
        gap = "\n\n\n" if isinstance(old.node, DEFINITIONS) else "\n"
        self._edits.instead[old.first] = (old.end, gap.join(texts))
        self._changed.extend((old, each) for each in new)

    # -- what is new -----------------------------------------------------------------------------

    def _add(self) -> None:
        places: list[int] = []
        for number in reversed(range(len(self._new))):
            what, later = self._new[number], self._new[number + 1 :]
            users = [old.above for old, changed in self._changed if _needs(changed, what)]
            users += [at for user, at in zip(later, places, strict=True) if _needs(user, what)]
            places.insert(0, min([*users, self._home(what)]))
        for at, what in zip(places, self._new, strict=True):
            self._edits.before[at].append(_text(what) if what.shares else what.commented)

    def _home(self, what: Statement) -> int:
        """Give the line at which something new stands unless something needs it earlier."""
        if what.is_import:
            return self._import_lines()[1]
        constants = self._behind_constants()
        late = _bound_by(each for each in self._current if each.end > constants)
        late |= _bound_by(each for each in self._new if isinstance(each.node, DEFINITIONS))
        if isinstance(what.node, _ASSIGNMENTS) and not names_of([what.node]) & late:
            return constants
        return next((e.above for e in self._current if MAIN in e.names), len(self._lines))

    def _behind_constants(self) -> int:
        """Give the line behind the first assignments, which follow the imports."""
        at = self._import_lines()[1]
        for each in self._current:
            if isinstance(each.node, _ASSIGNMENTS):
                at = max(at, each.end)
            elif not each.is_import and not each.is_docstring:
                break
        return at


# -- reading statements ----------------------------------------------------------------------------


def _head(lines: Sequence[str]) -> int:
    """Count the first lines that are comments on the file, such as `#!` and a licence."""
    count = 0
    while count < len(lines) and lines[count].startswith("#"):
        count += 1
    if count < len(lines) and not lines[count].strip():
        return count
    return int(bool(lines) and lines[0].startswith(("#!", "# -*-")))


def _text(statement: Statement) -> str:
    return ast.unparse(statement.node) if statement.shares else statement.text


def _bound_by(statements: Iterable[Statement]) -> set[str]:
    return {name for each in statements for name in each.names}


def _is_deletion(statement: Statement, own: Collection[str]) -> bool:
    """Tell a `del` that takes something out of the module; `own` is what the answer itself made."""
    is_del = isinstance(statement.node, ast.Delete)
    return is_del and not names_of([statement.node]) <= set(own)


def _targets(node: ast.stmt) -> list[str]:
    return [ast.unparse(each) for each in node.targets] if isinstance(node, ast.Delete) else []


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _is_constant(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _aliases(
    statements: Iterable[Statement],
) -> Iterator[tuple[ast.Import | ast.ImportFrom, ast.alias]]:
    for each in statements:
        if isinstance(each.node, DEFINITIONS):
            continue
        for inner in ast.walk(each.node):
            if isinstance(inner, IMPORTS):
                yield from ((inner, alias) for alias in inner.names)


def _imported(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> tuple[object, ...]:
    home = (node.module, node.level) if isinstance(node, ast.ImportFrom) else None
    return home, alias.name, alias.asname


def _only(node: ast.Import | ast.ImportFrom, names: list[ast.alias]) -> ast.Import | ast.ImportFrom:
    if isinstance(node, ast.ImportFrom):
        return ast.ImportFrom(node.module, names, node.level)
    return ast.Import(names)


def _needs(user: Statement, what: Statement) -> bool:
    """Tell whether a statement needs another one while the module is imported."""
    return bool(what.names & names_of(_at_import(user.node)))


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Give the parts of a statement that are evaluated where it stands."""
    if isinstance(node, FUNCTIONS):
        yield from node.decorator_list
        yield node.args
        if node.returns is not None:
            yield node.returns
    elif isinstance(node, ast.ClassDef):
        yield from [*node.decorator_list, *node.bases, *node.keywords]
        for each in node.body:
            yield from _at_import(each)
    else:
        yield node
