"""GMN: a notation for active-inference agents, the agents themselves, and what writes both.

    from llmport_magic.gmn import generate, parse

Needs numpy, and matplotlib for plots: the extra `gmn`. Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmport_magic.lazy import first_use

if TYPE_CHECKING:
    from llmport_magic.gmn.agents.agent import Agent
    from llmport_magic.gmn.agents.environment import Environment, GridWorld, Process, TMaze
    from llmport_magic.gmn.agents.history import History, Step
    from llmport_magic.gmn.agents.learning import Counts
    from llmport_magic.gmn.arrays.model import Model
    from llmport_magic.gmn.findings import Finding, Report
    from llmport_magic.gmn.spec import (
        Control,
        Emission,
        Factor,
        Modality,
        Preference,
        Spec,
        Transition,
    )
    from llmport_magic.gmn.validation import parse, validate
    from llmport_magic.gmn.writing.generation import generate, refine

__all__ = [
    "Agent",
    "Control",
    "Counts",
    "Emission",
    "Environment",
    "Factor",
    "Finding",
    "GridWorld",
    "History",
    "Modality",
    "Model",
    "Preference",
    "Process",
    "Report",
    "Spec",
    "Step",
    "TMaze",
    "Transition",
    "generate",
    "parse",
    "refine",
    "validate",
]

_HOMES = {
    "agents.agent": ("Agent",),
    "agents.environment": ("Environment", "GridWorld", "Process", "TMaze"),
    "findings": ("Finding", "Report"),
    "writing.generation": ("generate", "refine"),
    "agents.history": ("History", "Step"),
    "agents.learning": ("Counts",),
    "arrays.model": ("Model",),
    "spec": ("Control", "Emission", "Factor", "Modality", "Preference", "Spec", "Transition"),
    "validation": ("parse", "validate"),
}


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
