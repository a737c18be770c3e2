"""The 5x5 explorer as text, whole or with pieces of it replaced."""

from __future__ import annotations

EXPLORER = """\
agent explorer { type: explorer, horizon: 3 }
node state location { size: 25, shape: [5, 5], initial: onehot(0) }
node observation sight { size: 25, shape: [5, 5] }
node action move { size: 5, labels: [up, right, down, left, stay] }
node emission see { to: sight, from: location, matrix: noisy(0.9) }
node transition walk { to: location, from: [location, move], matrix: grid(5, 5) }
node preference want { over: sight, values: goal(24, 3.0) }
"""


def changed(*replacements: tuple[str, str]) -> str:
    """Give the explorer with pieces of its text replaced."""
    text = EXPLORER
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return text
