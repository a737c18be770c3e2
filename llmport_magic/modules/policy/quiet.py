"""What of a module looks like something that the policy asks about, and is nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

# What packages are told by setting an attribute of theirs.
_KEYS = {"api_key", "api_base", "api_type", "api_version", "organization", "token"}


def quiet_nodes(nodes: Sequence[ast.AST]) -> Iterator[int]:
    """Give the nodes that say nothing: docstrings, types to compare with, a package's settings."""
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield id(node.value)
        elif isinstance(node, ast.Call) and _last_name(node.func) in {"isinstance", "issubclass"}:
            for kind in node.args[1:]:
                yield from map(id, kind.elts if isinstance(kind, ast.Tuple) else [kind])
        elif isinstance(node, ast.Assign):
            targets = [target for target in node.targets if isinstance(target, ast.Attribute)]
            yield from (id(target) for target in targets if _is_setting(target, node.value))


def read_for_keys(nodes: Sequence[ast.AST]) -> Iterator[int]:
    """Give what is only searched or gone through: of a mapping, that reads the keys."""
    for node in nodes:
        if isinstance(node, ast.Compare):
            tests = zip(node.ops, node.comparators, strict=True)
            yield from (id(of) for op, of in tests if isinstance(op, (ast.In, ast.NotIn)))
        elif isinstance(node, (ast.For, ast.comprehension)) and not _gives_finders(node.iter):
            yield id(node.iter)


def _gives_finders(node: ast.expr) -> bool:
    return _last_name(node) == "meta_path"


def _last_name(node: ast.expr) -> str:
    return getattr(node, "attr", "") or getattr(node, "id", "")


def _is_setting(target: ast.Attribute, value: ast.expr) -> bool:
    """Tell a package's switch or key, such as `torch.backends.cudnn.benchmark = True`."""
    if target.attr in _KEYS:
        return True
    if not isinstance(value, ast.Constant):
        return False
    return target.attr.isupper() or isinstance(value.value, (bool, int, float))
