"""The sentences of the benchmark, and how the specification of one of them is judged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml

from llmport_magic.gmn.agents.environment import Process
from llmport_magic.gmn.validation import validate

if TYPE_CHECKING:
    from llmport_magic.gmn.spec import Spec

FILE = Path(__file__).with_name("sentences.yaml")
STEPS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """What is asked for, and the plain facts that it names.

    Attributes:
        half: `tuning` ones may be looked at while prompts are worded, `unseen` ones may not.
        name: of the sentence.
        sentence: what the user writes below `%%gmn NAME`.
        type: of the agent, as `--type` says it.
        holds: how many `states`, `actions` or `observations` some node has (one number, or any of
            a list), how many `factors` there are at least, and whether there is a `preference`.
    """

    half: Literal["tuning", "unseen"]
    name: str
    sentence: str
    type: str = "general"
    holds: Mapping[str, Any] = field(default_factory=dict)


def load() -> tuple[Sentence, ...]:
    """Read every sentence, in the order of the file."""
    halves = yaml.safe_load(FILE.read_text("utf-8"))
    return tuple(Sentence(half=half, **fields) for half, all_ in halves.items() for fields in all_)


def fingerprint() -> str:
    """Tell of which sentences results are."""
    return hashlib.sha256(FILE.read_bytes()).hexdigest()[:12]


def runs(text: str) -> Spec:
    """Give the specification of a text whose agent takes ten steps in the world it describes.

    Raises:
        AssertionError: it is not valid, or what the agent believes is no probability.
        GMNError: the agent does not run.
    """
    report = validate(text)
    assert report.spec is not None, report.errors
    agent, world = report.spec.agent(seed=0), Process(report.spec, seed=0)
    observation = world.reset()
    for _ in range(STEPS):
        step = agent.step(observation)
        for belief in step.beliefs:
            assert np.isfinite(belief).all()
            assert abs(belief.sum() - 1) < 1e-6
        assert np.isfinite(step.neg_efe).all()
        observation = world.step(step.action)
    return report.spec


def missing(spec: Spec, holds: Mapping[str, Any]) -> list[str]:
    """Name the facts of a sentence that a specification does not have, each with what it has."""
    found: dict[str, Sequence[int]] = {
        "states": [each.size for each in spec.factors],
        "actions": [each.size for each in spec.controls],
        "observations": [each.size for each in spec.modalities],
    }
    wrong = []
    for fact, wanted in holds.items():
        if fact == "factors":
            if len(spec.factors) < wanted:
                wrong.append(f"{wanted} factors: {len(spec.factors)}")
        elif fact == "preference":
            if _prefers(spec) != wanted:
                wrong.append("a preference: none" if wanted else "no preference: there is one")
        else:
            any_of = wanted if isinstance(wanted, list) else [wanted]
            if not set(found[fact]) & set(any_of):
                either = " or ".join(map(str, any_of))
                wrong.append(f"{either} {fact}: {', '.join(map(str, found[fact])) or 'none'}")
    return wrong


def _prefers(spec: Spec) -> bool:
    """Tell whether anything is wanted more than something else."""
    model = spec.model
    wants = [*model.C, *model.H]
    return any(len(each) > 1 and np.ptp(each) > 0 for each in wants if each is not None)
