"""Whether the agent of a specification runs: a few steps in the world that it describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llmport_magic.errors import GMNError

if TYPE_CHECKING:
    from llmport_magic.gmn.spec import Spec

_STEPS = 3
_TOLERANCE = 1e-6


def run_once(spec: Spec) -> None:
    """Let the agent take a few steps.

    Raises:
        GMNError: it cannot be made, or its beliefs are no probabilities.
    """
    from llmport_magic.gmn.agents.environment import Process

    agent, world = spec.agent(), Process(spec)
    observation = world.reset()
    for number in range(1, _STEPS + 1):
        step = agent.step(observation)
        for name, belief in zip((each.name for each in spec.factors), step.beliefs, strict=True):
            if not np.isfinite(belief).all() or abs(belief.sum() - 1) > _TOLERANCE:
                raise GMNError(f"the belief about `{name}` is no probability after step {number}")
        if not np.isfinite(step.neg_efe).all():
            raise GMNError(f"the expected free energy is not finite after step {number}")
        observation = world.step(step.action)
