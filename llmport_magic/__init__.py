"""A prompt in a notebook cell becomes a checked, versioned Python module.

`%load_ext llmport_magic` gives `%%llmport`; `llmport()` and `update()` do the same in a script.
Every public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmport_magic.api import llmport, update
    from llmport_magic.bridge import run
    from llmport_magic.llm.connector import BaseLLMConnector
    from llmport_magic.llm.provider import LLMProvider
    from llmport_magic.settings import configure, get_config

__all__ = [
    "BaseLLMConnector",
    "LLMProvider",
    "configure",
    "get_config",
    "llmport",
    "run",
    "update",
]

_HOMES = {
    "BaseLLMConnector": "llmport_magic.llm.connector",
    "LLMProvider": "llmport_magic.llm.provider",
    "configure": "llmport_magic.settings",
    "get_config": "llmport_magic.settings",
    "llmport": "llmport_magic.api",
    "run": "llmport_magic.bridge",
    "update": "llmport_magic.api",
}
# What layers above the connectors give to each of them: `llm/methods.py` reads it, and knows none
# of these layers. Functions that take the connector first, by name; and who writes the mock's
# answers to requests whose first message holds a word.
METHODS = {
    "generate_gmn": "llmport_magic.gmn.writing.facade",
    "refine_gmn": "llmport_magic.gmn.writing.facade",
    "validate_gmn": "llmport_magic.gmn.writing.facade",
}
MOCK_ANSWERS = {"active-inference agents": "llmport_magic.gmn.writing.sample_answers"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("llmport-magic")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def load_ipython_extension(shell: Any) -> None:
    """Register the magics, the input transform and the comm target; prints nothing."""
    from llmport_magic.notebook.extension import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Undo everything that loading did."""
    from llmport_magic.notebook.extension import unload

    unload(shell)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "llmport-magic"}]
