"""Whatever random sources say, each provider gets what is said of it, and no other's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import settings_sources
from hypothesis import HealthCheck, given, strategies
from hypothesis import settings as hypothesis_settings
from settings_sources import BY_NAME, forget, resolved

from llmport_magic.llm.provider_settings import settings_of
from llmport_magic.llm.registry import default_registry
from llmport_magic.settings import PROVIDER_BOUND

pytestmark = pytest.mark.usefixtures("own_registry")

folder = settings_sources.folder

PROVIDERS = ("groq", "deepseek", "openrouter")
_SAYINGS = strategies.fixed_dictionaries(
    {},
    optional={
        "provider": strategies.sampled_from((*PROVIDERS, "auto", "Groq")),
        "model": strategies.sampled_from(("a", "b", "c")),
        "base_url": strategies.sampled_from(("https://a.example/v1", "https://b.example/v1")),
        "temperature": strategies.sampled_from((0.0, 0.5, 1.0)),
        "llm": strategies.dictionaries(
            strategies.sampled_from(PROVIDERS),
            strategies.fixed_dictionaries(
                {},
                optional={
                    "model": strategies.sampled_from(("d", "e")),
                    "temperature": strategies.sampled_from((0.25, 0.75)),
                },
            ),
            max_size=2,
        ),
    },
)
_RANDOM = ("system file", "user file", "llmport.toml", "environment", "configure()", "argument")


def expected(layers: list[Mapping[str, Any]], provider: str, name: str) -> Any:
    """Find the strongest layer that speaks of a provider, in another way than the resolver."""
    told = [str(layer.get("provider", "")).lower() for layer in layers]
    whom = [next((who for who in reversed(told[: n + 1]) if who), "auto") for n in range(len(told))]
    for number in reversed(range(len(layers))):
        layer = layers[number]
        section = layer.get("llm", {}).get(provider, {})
        if name in section:
            return section[name]
        # Flat values belong to whoever was named then, and to nobody else from there on.
        same = len(set(whom[number:])) == 1
        mine = whom[-1] in (provider, "auto")
        if name in layer and (name not in PROVIDER_BOUND or (same and mine)):
            if whom[-1] == "auto" and name in PROVIDER_BOUND and _local(layers, whom):
                continue
            return layer[name]
    return None


def _local(layers: list[Mapping[str, Any]], whom: list[str]) -> bool:
    """Tell whether an address without a name stands: it is the local server's."""
    since = max((n + 1 for n, who in enumerate(whom) if who != "auto"), default=0)
    return any("base_url" in layer for layer in layers[since:])


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sayings=strategies.lists(_SAYINGS, min_size=len(_RANDOM), max_size=len(_RANDOM)))
def test_the_strongest_that_speaks_of_a_provider_wins(
    sayings: list[dict[str, Any]], folder: Path
) -> None:
    """For random sources, each provider gets what the strongest says of it, and no more (S2-15)."""
    forget()
    given_ = [(BY_NAME[name], saying) for name, saying in zip(_RANDOM, sayings, strict=True)]
    settings = resolved(folder, *given_)

    for provider in PROVIDERS:
        row = default_registry().provider(provider)
        found = settings_of(row, settings)
        for name in ("model", "base_url", "temperature"):
            default = {"model": row.default_model, "base_url": row.base_url}.get(name)
            right = expected(sayings, provider, name)
            assert getattr(found, name) == (default if right is None else right), (provider, name)


@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sayings=strategies.lists(_SAYINGS, min_size=len(_RANDOM), max_size=len(_RANDOM)),
    last=strategies.sampled_from(PROVIDERS),
)
def test_switching_carries_nothing(sayings: list[dict[str, Any]], last: str, folder: Path) -> None:
    """A provider named by an argument gets no value that was set for another (S0-12, S2-15)."""
    forget()
    sayings = [*sayings[:-1], {"provider": last}]
    given_ = [(BY_NAME[name], saying) for name, saying in zip(_RANDOM, sayings, strict=True)]
    settings = resolved(folder, *given_)
    named_before = [s["provider"].lower() for s in sayings[:-1] if "provider" in s]

    assert settings.provider == last
    if not named_before or named_before[-1] != last:
        tables = {
            s["llm"][last]["model"] for s in sayings if "model" in s.get("llm", {}).get(last, {})
        }
        assert settings.model in {None, *tables}
        assert settings.base_url is None
