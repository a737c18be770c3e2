"""Run pymdp on the models of `tests/gmn_models.py`, and write down what it computes.

    python -m venv /tmp/pymdp && /tmp/pymdp/bin/pip install inferactively-pymdp==1.0.4
    /tmp/pymdp/bin/python scripts/gmn_reference.py

It writes `tests/fixtures/gmn_pymdp.json`, with which `tests/test_gmn_pymdp.py` compares our agent
on every run. pymdp is told to use float64. It has an environment of its own, as it brings JAX.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import jax
import numpy as np
from gmn_models import CASES, Case
from jax import numpy as jnp
from pymdp.agent import Agent

from llmport_magic.gmn.agents.pymdp_form import to_pymdp

FIXTURE = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "gmn_pymdp.json"


def run(case: Case) -> list[dict[str, Any]]:
    """Run pymdp's agent through the observations of a case.

    Returns:
        For each step the observation, `qs`, `neg_efe`, `q_pi`, `vfe` and the action it took.
    """
    arguments = to_pymdp(
        case.model, policy_len=case.policy_len, gamma=case.gamma, states_as_observations=True
    )
    agent = Agent(
        **arguments,
        use_utility=case.options.get("utility", True),
        use_states_info_gain=case.options.get("information_gain", True),
        categorical_obs=True,
    )
    sizes = [len(matrix) for matrix in arguments["A"]]
    prior, steps = agent.D, []
    for observation in case.observations:
        # What is not observed is all zeros: its likelihood then adds nothing.
        full = [*observation, *[None] * (len(sizes) - len(observation))]
        vectors = [
            jnp.zeros((1, size)) if seen is None else jnp.eye(size)[seen][None]
            for seen, size in zip(full, sizes, strict=True)
        ]
        qs, info = agent.infer_states(vectors, prior, return_info=True)
        q_pi, neg_efe = agent.infer_policies(qs)
        flat = agent.sample_action(q_pi)
        steps.append(
            {
                "observation": full,
                "qs": [_digits(each[0, -1]) for each in qs],
                "neg_efe": _digits(neg_efe[0]),
                "q_pi": _digits(q_pi[0]),
                "vfe": float(np.asarray(info["vfe"]).reshape(-1)[0]),
                "action": np.asarray(agent.decode_multi_actions(flat))[0].astype(int).tolist(),
            }
        )
        prior = agent.update_empirical_prior(flat, qs)
    return steps


def learn(case: Case) -> list[dict[str, Any]]:
    """Let pymdp's agent learn A and B, from twice the arrays, at a rate of a half.

    Returns:
        For each step the observation, the action, and the counts after it, flat.
    """
    arguments = to_pymdp(case.model, policy_len=case.policy_len, gamma=case.gamma)
    agent = Agent(
        **arguments,
        pA=[2 * each for each in arguments["A"]],
        pB=[2 * each for each in arguments["B"]],
        learn_A=True,
        learn_B=True,
        categorical_obs=True,
    )
    prior, before, taken, steps = agent.D, None, None, []
    for observation in case.observations:
        vectors = [
            jnp.eye(len(each))[seen][None]
            for seen, each in zip(observation, arguments["A"], strict=True)
        ]
        qs = agent.infer_states(vectors, prior)
        flat = agent.sample_action(agent.infer_policies(qs)[0])
        both = [jnp.concatenate(pair, axis=1) for pair in zip(before or qs, qs, strict=True)]
        # At the first step there is no transition: -1 is what pymdp has for no action.
        agent = agent.infer_parameters(
            qs,
            [each[:, None] for each in vectors],
            jnp.full_like(flat, -1) if taken is None else taken,
            beliefs_B=both,
            lr_pA=0.5,
            lr_pB=0.5,
        )
        steps.append(
            {
                "observation": observation,
                "action": np.asarray(agent.decode_multi_actions(flat))[0].astype(int).tolist(),
                "pA": [_digits(each.reshape(-1)) for each in agent.pA],
                "pB": [_digits(each.reshape(-1)) for each in agent.pB],
            }
        )
        prior, before, taken = agent.update_empirical_prior(flat, qs), qs, flat
    return steps


def _digits(values: jax.Array) -> list[float]:
    """Give twelve digits behind the point: a million times finer than what is compared."""
    return [round(float(value), 12) for value in values]


def main() -> None:
    """Run all cases and write their numbers."""
    jax.config.update("jax_enable_x64", True)
    written = {
        "pymdp": importlib.metadata.version("inferactively-pymdp"),
        "jax": importlib.metadata.version("jax"),
        "precision": str(jnp.zeros(1).dtype),
        "cases": {name: run(make()) for name, make in CASES.items()},
        "learning": {name: learn(CASES[name]()) for name in ("plain", "several controls")},
    }
    text = json.dumps(written, separators=(",", ":"))
    FIXTURE.write_text(text.replace('{"observation"', '\n{"observation"') + "\n", encoding="utf-8")
    print(f"{FIXTURE}: {len(written['cases'])} models, {FIXTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
