"""Specifications and runs that the tests of environments, histories and pictures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmport_magic.gmn import History, Model, Spec, Step, parse

EXPLORER = """
agent explorer { type: explorer, horizon: 4 }
node state location { size: 25, shape: [5, 5], initial: onehot(12) }
node observation sight { size: 25, shape: [5, 5] }
node action move { labels: [up, right, down, left, stay] }
node emission see { to: sight, from: location, matrix: noisy(0.9) }
node transition walk { to: location, from: [location, move], matrix: grid(5, 5) }
node preference want { over: sight, values: goal(24, 3.0) }
"""

# The maze of pymdp's T-maze demo, without a cue elsewhere than at its place.
RAT = """
agent rat { horizon: 1 }
node state location { labels: [centre, left, right, cue], initial: onehot(centre) }
node state context { labels: [left, right] }
node observation place { labels: [centre, left, right, cue] }
node observation outcome { labels: [nothing, reward, loss] }
node observation cue { labels: [none, left, right] }
node action move { labels: [centre, left, right, cue] }
node emission where { to: place, from: location, matrix: identity }
node emission pay { to: outcome, from: [location, context], matrix: [
  [[1, 1], [0, 0], [0, 0], [1, 1]],
  [[0, 0], [0.98, 0.02], [0.02, 0.98], [0, 0]],
  [[0, 0], [0.02, 0.98], [0.98, 0.02], [0, 0]]] }
node emission tell { to: cue, from: [location, context], matrix: [
  [[1, 1], [1, 1], [1, 1], [0, 0]],
  [[0, 0], [0, 0], [0, 0], [1, 0]],
  [[0, 0], [0, 0], [0, 0], [0, 1]]] }
node transition go { to: location, from: [location, move], matrix: goto }
node transition keep { to: context, from: context, matrix: identity }
node preference want { over: outcome, values: [0, 3, -3] }
"""


def explorer() -> Spec:
    """Give an agent in the middle of a grid of 5 by 5 that wants into its last corner."""
    return parse(EXPLORER)


def rat() -> Spec:
    """Give an agent of two factors in the T-maze."""
    return parse(RAT)


def written(
    model: Model,
    beliefs: Sequence[Sequence[Sequence[float]]],
    *,
    policies: int = 3,
    states: Sequence[tuple[int, ...]] | None = None,
    **more: Any,
) -> History:
    """Give a history by hand: for each step, for each factor a belief; all else is a pattern."""
    steps = tuple(
        Step(
            observation=tuple(number % len(each) for each in model.A),
            beliefs=tuple(np.array(belief, dtype=float) for belief in step),
            free_energy=1.0 + number,
            policies=np.full(policies, 1 / policies),
            neg_efe=np.sin(np.arange(policies) + number),
            action=tuple(number % count for count in model.controls),
        )
        for number, step in enumerate(beliefs)
    )
    chosen = np.arange(policies)[:, np.newaxis, np.newaxis] % np.array(model.controls or (1,))
    return History(
        steps=steps,
        states=tuple(states or [(0,) * len(model.D)] * len(steps)),
        model=model,
        policies=chosen[:, :, : len(model.controls)],
        **more,
    )
