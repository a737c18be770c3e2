"""The variables of the documents give settings, also from `.env`, and none is ever written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import settings_sources
from settings_sources import of_groq, wanted

from llmport_magic.settings import resolve, trust

pytestmark = pytest.mark.usefixtures("own_registry")

folder = settings_sources.folder

SEEDS = (
    ("LLM_PROVIDER", "provider", "groq"),
    ("LLMPORT_GROQ_MODEL", "model", "seed-model"),
    ("MINDX_LLM__GROQ__MODEL", "model", "seed-model"),
    ("MINDX_LLM__GROQ__API_KEY", "api_key", "seed-key-0123456789"),
    ("MINDX_LLM__GROQ__BASE_URL", "base_url", "https://seed.example/v1"),
    ("LLMPORT_LLM__GROQ__TEMPERATURE", "temperature", 0.5),
    ("GROQ_API_KEY", "api_key", "seed-key-0123456789"),
)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed[0])
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_the_seeds_variables_are_read(
    seed: tuple[str, str, Any], where: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables of the documents count, in the environment and in `.env` (S0-13, S2-16)."""
    variable, name, value = seed
    if where == ".env":
        (folder / ".env").write_text(f"{variable} = {value} # told\n", "utf-8")
        trust(folder / ".env")
    else:
        monkeypatch.setenv(variable, str(value))
    settings = resolve(provider=None if name == "provider" else "groq")
    found = settings if name == "provider" else of_groq(settings)

    assert getattr(found, name) == wanted(name, value)
    assert found.source(name).endswith(variable)
    assert variable in found.source(name)


def test_the_environment_is_never_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in `.env` is read and not put into the environment, which wins (S2-16)."""
    import os

    (folder / ".env").write_text("LLMPORT_MODEL='from file'\nLLMPORT_SEED=\"7\"\n", "utf-8")
    before = dict(os.environ)

    assert (resolve().model, resolve().seed) == ("from file", 7)
    assert dict(os.environ) == before
    monkeypatch.setenv("LLMPORT_MODEL", "from environment")
    assert (resolve().model, resolve().seed) == ("from environment", 7)
