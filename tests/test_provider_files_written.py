"""Providers are written as YAML files: there and back again, and no secret with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from provider_mine import FLAT, URL, yaml_file
from warned import no_warning

from llmport_magic.errors import ConfigError
from llmport_magic.llm.capabilities import LLMProfile
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.registry import LLMRegistry
from llmport_magic.secrets import Secret

KEY = "planted-key-0123456789abcdef"

pytestmark = pytest.mark.usefixtures("own_registry")


class Echo(BaseLLMConnector):
    """A connector with an import path."""

    def call_llm(self, prompt: str) -> str:
        """Give the prompt back."""
        return prompt


def _rows(registry: LLMRegistry) -> dict[str, Any]:
    return {row.name: row for row in registry.providers(installed=False)}


def test_there_and_back_again(tmp_path: Path) -> None:
    """Written and read again, every provider and model is what it was (S1-23, S1-24)."""
    registry = LLMRegistry.create_default()
    registry.load_provider_file(yaml_file(tmp_path / "own", FLAT))
    registry.register_provider(
        "echo", connector=Echo, api_key_vars=("E_KEY",), key_required=False, headers={"x-a": "b"}
    )
    registry.register_model(
        LLMProfile(name="claude-mine", provider="anthropic", detected=True, retired_on="2030-01-01")
    )

    written = registry.to_provider_files(tmp_path / "out")

    assert {path.stem for path in written} == set(_rows(registry))
    again = LLMRegistry()
    again.load_provider_files(tmp_path / "out")
    first, second = _rows(registry), _rows(again)
    assert first.pop("echo").connector is Echo
    assert second.pop("echo").connector == f"{Echo.__module__}:Echo"
    assert second == first
    assert len(list(again.list_models())) == len(list(registry.list_models())) > 700
    again.to_provider_files(tmp_path / "twice")
    for path in written:
        assert (tmp_path / "twice" / path.name).read_text("utf-8") == path.read_text("utf-8")


def test_written_files_hold_no_secret(tmp_path: Path) -> None:
    """A header that holds a secret is left out and named; the others stay (S1-07, S1-23)."""
    registry = LLMRegistry()
    headers = {"x-api-key": Secret(KEY), "x-team": "a"}
    registry.register_provider("mine", base_url=URL, headers={"x-api-key": KEY, "x-team": "a"})
    assert registry.provider("mine").headers == headers

    (path,) = registry.to_provider_files(tmp_path)

    text = path.read_text("utf-8")
    assert KEY not in text
    assert "# Left out, it holds a secret: the header x-api-key\n" in text
    assert yaml.safe_load(text)["provider"]["headers"] == {"x-team": "a"}


@pytest.mark.parametrize(
    "address", [KEY, f"https://me:{KEY}@x.example/v1", f"https://x.example/v1?api-key={KEY}"]
)
def test_no_key_is_shown(tmp_path: Path, address: str) -> None:
    """An address with a key in it is refused, so that none is written, and not shown (S1-07)."""
    with pytest.raises(ConfigError, match=r"`base_url`.*\(line 2\)") as caught:
        LLMRegistry().load_provider_file(yaml_file(tmp_path, f"name: mine\nbase_url: {address}\n"))

    assert KEY not in str(caught.value)


def test_what_no_file_can_hold_is_told(tmp_path: Path) -> None:
    """A connector that is an object has no import path: its provider is left out, aloud (S1-23)."""
    registry = LLMRegistry()
    registry.register_provider("mine", connector=Echo())
    registry.register_provider("other", base_url=URL)

    with pytest.warns(UserWarning, match="`mine` is left out"):
        written = registry.to_provider_files(tmp_path)

    assert [path.name for path in written] == ["other.yaml"]


def test_a_family_is_written_as_its_text(tmp_path: Path) -> None:
    """A reader that knows nothing of us reads plain texts and numbers (S1-24)."""
    registry = LLMRegistry()
    registry.load_provider_file(yaml_file(tmp_path, FLAT))
    with no_warning():
        (path,) = registry.to_provider_files(tmp_path / "out")

    assert yaml.safe_load(path.read_text("utf-8"))["provider"]["models"] == {
        "m-1": {
            "family": "qwen",
            "aliases": ["one"],
            "capabilities": {"vision": True, "refuses": ["seed"], "input_cost_per_1k_tokens": 0.5},
        }
    }
