"""The names of earlier projects: each has its equivalent, and the page of them is true."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from llmport_magic import llm, seed_names
from llmport_magic.llm import BaseLLMConnector, Message, MockConnector

PAGE = Path(__file__).parents[1] / "docs" / "seed-names.md"
_OURS = re.compile(r"`(llmport_magic(?:\.\w+)+)`")
# What the examples of each project import or call as a name that they do not make themselves.
USED = {
    "llmport": ("llmport", "update", "configure", "BaseLLMConnector", "PROVIDER_CONFIG"),
    "llmaestro": ("LLMRegistry", "ModelFamily", "create_llm_interface"),
    "mindX": ("create_llm_handler", "LLMHandlerInterface", "OLLAMA_CLOUD_RUN_MODELS_PY"),
    "FreeAgentics": (
        "create_llm_factory",
        "LLMProviderFactory",
        "LLMMessage",
        "LLMRole",
        "LLMError",
        "ProviderType",
        "generate_gmn",
        "validate_gmn",
        "refine_gmn",
    ),
    "Loom": (
        "LLMProvider",
        "LLMConfig",
        "Message",
        "LLMResponse",
        "load_project_config",
        "CognitiveAgent",
        "CognitiveConfig",
    ),
}


def _section(title: str) -> str:
    _, _, rest = PAGE.read_text("utf-8").partition(f"## {title}\n")
    return rest.partition("\n## ")[0]


def _rows(title: str) -> list[tuple[str, str]]:
    """Give the first two cells of a table's rows."""
    lines = [line for line in _section(title).splitlines() if line.startswith("| `")]
    return [(cells[1], cells[2]) for cells in (line.split("|") for line in lines)]


def _resolve(dotted: str) -> object:
    head, *rest = dotted.split(".")
    found: object = import_module(head)
    path = head
    for part in rest:
        path = f"{path}.{part}"
        found = getattr(found, part) if hasattr(found, part) else import_module(path)
    return found


@pytest.mark.parametrize("project", USED)
def test_every_name_of_the_page_can_be_imported(project: str) -> None:
    """Each row names something that is there (X-10)."""
    rows = _rows(project)

    assert len(rows) >= 5
    for theirs, ours in rows:
        assert _OURS.findall(ours), theirs
        for dotted in _OURS.findall(ours):
            assert _resolve(dotted) is not None


@pytest.mark.parametrize("project", USED)
def test_the_page_has_every_name_that_examples_use(project: str) -> None:
    """What the documents' examples import stands in the table of their project (X-10)."""
    listed = {name for theirs, _ in _rows(project) for name in re.findall(r"`(\w+)`", theirs)}

    assert set(USED[project]) <= listed


def test_what_was_dropped_names_what_is_there() -> None:
    """A replacement of a dropped name can be imported (X-10)."""
    names = _OURS.findall(_section("What was dropped"))

    assert len(names) >= 2
    for dotted in names:
        assert _resolve(dotted) is not None


def test_nothing_is_missing() -> None:
    """No project has a name that the page says is not there yet (X-10)."""
    assert "not there yet" not in PAGE.read_text("utf-8").lower()


def test_aliases_are_the_things_themselves() -> None:
    """An alias is the same object, with no class or function between (X-10)."""
    assert seed_names.LLMHandlerInterface is BaseLLMConnector
    assert seed_names.BaseLLMInterface is BaseLLMConnector
    assert seed_names.MockLLMHandler is MockConnector
    assert seed_names.LLMMessage is Message
    assert seed_names.connector_map is llm.CONNECTOR_MAP
    assert set(seed_names.__all__) == set(seed_names._OURS) <= set(dir(seed_names))


def test_every_alias_stands_on_the_page() -> None:
    """The page has each alias of the module (X-10)."""
    text = PAGE.read_text("utf-8")

    assert [name for name in seed_names.__all__ if f"seed_names.{name}`" not in text] == []


def test_an_unknown_name_leads_to_the_page() -> None:
    """A name that is no alias says where to look."""
    with pytest.raises(AttributeError, match=r"`GroqHandler`: see docs/seed-names\.md"):
        seed_names.GroqHandler  # noqa: B018


def test_aliases_load_nothing() -> None:
    """Importing the module loads no connector."""
    code = (
        "import sys, llmport_magic.seed_names; print('llmport_magic.llm.connector' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == "False\n"
