"""Whether a model is asked as a small or as a large one: by the catalogue, a row, or its name."""

from __future__ import annotations

import re

import pytest

from llmport_magic.llm.capabilities import LLMCapabilities, LLMProfile
from llmport_magic.llm.model_size import size_named, sized
from llmport_magic.llm.registry import capabilities_of, default_registry
from llmport_magic.modules.strategy import first_attempt
from llmport_magic.settings import Settings

# What other tests have registered is no model of the catalogue.
pytestmark = pytest.mark.usefixtures("own_registry")

# Written by hand, by what the makers say: these must not change with the rule.
SMALL = """
    qwen2.5-coder:1.5b qwen2.5-coder:0.5b-instruct-q4_K_M llama3.2:1b llama3.1:8b gemma3:4b
    mistral:7b codellama:7b codegemma:7b-it deepseek-r1:1.5b phi4-mini phi3:3.8b tinyllama
    smollm2:135m smollm2:360m gemma3:270m qwen3:0.6b meta-llama/llama-3.2-3b-instruct:free
    google/gemma-3n-e4b-it cohere/command-r7b-12-2024 eleutherai/llemma_7b
    Qwen2.5-Coder-1.5B-Instruct-Q4_K_M microsoft/Phi-4-mini-instruct hf.co/org/Model-7B-GGUF:Q4_K_M
"""
LARGE = """
    gpt-5 gpt-4o-mini gpt-5-nano o3 claude-opus-5-5 claude-haiku-4-5 gemini-2.5-flash deepseek-chat
    mixtral-8x7b-32768 mistralai/mixtral-8x22b-instruct llama-3.3-70b-versatile qwen3:30b-a3b
    tencent/hunyuan-a13b-instruct qwen2.5-coder:32b gpt-oss:20b openai/gpt-oss-120b gemma3:12b
    deepseek-r1:671b kimi-k2 qwen2.5-72b-1m phi4 mistral-large llama3.1:405b s1 m-1
"""


@pytest.mark.parametrize("model", SMALL.split())
def test_names_of_small_models(model):
    """A name that tells fewer than ten thousand million parameters is that of a small model."""
    assert size_named(model) == "small"


@pytest.mark.parametrize("model", LARGE.split())
def test_names_of_large_models(model):
    """More parameters, and names that tell nothing, are those of large models."""
    assert size_named(model) == "large"


def test_every_model_of_the_catalogue_has_the_size_that_its_name_tells():
    """No model of the catalogue is asked in a way that its own name contradicts."""
    wrong = []
    rows = [row for row in default_registry().providers(installed=False) if row.name != "embedded"]
    models = [(row.name, name) for row in rows for name in row.models]
    for provider, name in models:
        size = sized(capabilities_of(provider, name), name).size
        told = re.search(r"[-:_ ](\d+(?:\.\d+)?)b\b(?!-a\d)", name.lower().rpartition("/")[2])
        if told and size != ("small" if float(told[1]) < 10 else "large"):
            wrong.append((provider, name, size))
    # Of 30 parameters with 3 at work, the first number is the larger one.
    assert [each for each in wrong if not re.search(r"b-a\d", each[1])] == []
    assert len(models) > 700


def test_the_vendors_of_large_models_have_no_small_ones():
    """What the three large vendors serve gets findings back, by the catalogue as it is."""
    for provider in ("openai", "anthropic", "gemini", "deepseek"):
        for name in default_registry().provider(provider).models:
            assert sized(capabilities_of(provider, name), name).size == "large", name


@pytest.mark.parametrize("provider", ["ollama", "local"])
def test_a_local_model_is_sized_by_its_name(provider):
    """What nobody has a row of, as on a local server, is sized by its name."""
    assert sized(capabilities_of(provider, "llama3.1:8b"), "llama3.1:8b").size == "small"
    assert sized(capabilities_of(provider, "qwen3:32b"), "qwen3:32b").size == "large"


def test_what_the_user_registers_wins():
    """A size that is said of a model wins over its name; what is not said is told by the name."""
    name, other = "mine-7b", "yours-7b"
    registry = default_registry()
    registry.register_model(
        LLMProfile(name=name, provider="ollama", capabilities=LLMCapabilities(size="large"))
    )
    registry.register_model(
        LLMProfile(
            name=other, provider="ollama", capabilities=LLMCapabilities(max_context_window=4096)
        )
    )

    assert sized(capabilities_of("ollama", name), name).size == "large"
    assert sized(capabilities_of("ollama", other), other).size == "small"


def test_the_size_decides_the_first_attempt():
    """A small model is asked greedily, with the same seed each time; a large one as it is set."""
    small, large = (
        first_attempt(sized(LLMCapabilities(), name), Settings())
        for name in ("llama3.1:8b", "gpt-5")
    )

    assert (small.temperature, small.seed) == (0.0, 0)
    assert (large.temperature, large.seed) == (None, None)
