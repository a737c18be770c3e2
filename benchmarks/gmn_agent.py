"""How soon our agent acts, and how fast, beside pymdp's.

    python benchmarks/gmn_agent.py [--pymdp PYTHON] [--rounds 5] [--steps 1000]

PYTHON is the interpreter of an environment with inferactively-pymdp 1.0.4, see
`scripts/gmn_reference.py`; without it only our agent is measured. Each number is of a process of
its own, and the agents take turns.

- First step: from the first line of a script to the first action, with imports, the agent and, for
  pymdp, compiling. pymdp is measured with its calls as they are and compiled: the faster counts.
- Validating: the text of the 5x5 explorer, to its arrays, without the first time in a process.
- Steps: an agent in a 5x5 grid that is seen with noise, after 20 steps that do not count. The world
  is a table in Python. pymdp's step is one compiled function, in float32 as it comes; `loop` has
  also the world and all steps compiled into one, which is possible where the world is in JAX.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from machine import machine, summary

ROOT = Path(__file__).resolve().parents[1]
BEGIN = """
import json, sys, time
begun = time.perf_counter()
sys.path[:0] = {paths!r}
from gmn_models import grid
case = grid(5, {policy_len}, [])
table = case.model.B[0].argmax(axis=0).tolist()
count = {steps}
"""
OURS = """
from llmport_magic.gmn.agents.agent import Agent
agent = Agent(case.model, policy_len={policy_len}, gamma=case.gamma)
def step(cell):
    return table[cell][agent.step([cell]).action[0]]
cell = step(0)
told = dict(first=time.perf_counter() - begun)
"""
PYMDP = """
import equinox, jax
from jax import numpy as jnp
from pymdp.agent import Agent
from llmport_magic.gmn.agents.pymdp_form import to_pymdp
agent = Agent(**to_pymdp(case.model, policy_len={policy_len}, gamma=case.gamma))
def move(agent, cell, prior):
    qs = agent.infer_states([cell], prior)
    q_pi, neg_efe = agent.infer_policies(qs)
    action = agent.sample_action(q_pi)
    return action, agent.update_empirical_prior(action, qs)
if {compiled}:
    move = equinox.filter_jit(move)
prior = agent.D
def step(cell):
    global prior
    action, prior = move(agent, jnp.array([cell]), prior)
    return table[cell][int(action[0, 0])]
cell = step(0)
told = dict(first=time.perf_counter() - begun)
"""
STEPS = """
for _ in range(20):
    cell = step(cell)
begun = time.perf_counter()
for _ in range(count):
    cell = step(cell)
told["steps"] = time.perf_counter() - begun
"""
LOOP = """
world = jnp.array(table)
@equinox.filter_jit
def loop(agent, cell, prior):
    def once(carry, _):
        cell, prior = carry
        action, prior = move(agent, cell[None], prior)
        return (world[cell, action[0, 0]], prior), action
    return jax.lax.scan(once, (cell, prior), None, length=count)
jax.block_until_ready(loop(agent, jnp.array(cell), prior))
begun = time.perf_counter()
jax.block_until_ready(loop(agent, jnp.array(cell), prior))
told["loop"] = time.perf_counter() - begun
"""
VALIDATE = """
from gmn_explorer import EXPLORER
from llmport_magic.gmn.validation import validate
assert validate(EXPLORER).ok
begun = time.perf_counter()
for _ in range(20):
    validate(EXPLORER)
told["validated"] = (time.perf_counter() - begun) / 20
"""
TELL = "print(json.dumps(told))"


def measure(
    python: str, *parts: str, policy_len: int, steps: int, compiled: bool = True
) -> dict[str, float]:
    """Run a script in a process, and give the seconds that it tells."""
    script = "".join([BEGIN, *parts, TELL]).format(
        paths=[str(ROOT), str(ROOT / "tests")],
        policy_len=policy_len,
        steps=steps,
        compiled=compiled,
    )
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pymdp", help="the Python of an environment with pymdp 1.0.4")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    print(machine())
    for policy_len in (1, 3):
        given = {"policy_len": policy_len, "steps": options.steps}
        ours, plain, whole = [], [], []
        for _ in range(options.rounds):
            ours.append(measure(sys.executable, OURS, STEPS, VALIDATE, **given))
            if options.pymdp:
                plain.append(measure(options.pymdp, PYMDP, compiled=False, **given))
                whole.append(measure(options.pymdp, PYMDP, STEPS, LOOP, **given))
        print(f"\npolicies of {policy_len} steps, {5**policy_len} of them")
        tell("first step: ours", [each["first"] for each in ours])
        tell("  pymdp, calls as they are", [each["first"] for each in plain])
        tell("  pymdp, compiled", [each["first"] for each in whole])
        tell(f"{options.steps} steps: ours", [each["steps"] for each in ours])
        tell("  pymdp, compiled", [each["steps"] for each in whole])
        tell("validating: ours", [each["validated"] for each in ours])
        tell("  pymdp, loop and world compiled", [each["loop"] for each in whole])


def tell(name: str, seconds: list[float]) -> None:
    """Print one line, if there is anything to tell."""
    if len(seconds) > 1:
        print(f"{name:<34} {summary([1000 * each for each in seconds], 'ms')}")
    elif seconds:
        print(f"{name:<34} {1000 * seconds[0]:.1f} ms (n = 1)")


if __name__ == "__main__":
    main()
