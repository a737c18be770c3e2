"""Keys that a registry was given: whose they are, that none is shown, and what they look like."""

from __future__ import annotations

import logging
import pickle
import traceback
from pathlib import Path

import pytest
from asking import KEY
from loopback import Loopback, reply
from provider_mine import OTHER
from warned import no_warning, of_ours

from llmport_magic.errors import ConfigError, MissingKeyError
from llmport_magic.llm import (
    LLMRegistry,
)
from llmport_magic.llm.capabilities import Provider
from llmport_magic.llm.registry import connector_for
from llmport_magic.settings import resolve

pytestmark = pytest.mark.usefixtures("own_registry")


# To whom a key belongs


def test_a_key_stays_with_its_address() -> None:
    """A row that gets another address loses the key that it was given (S1-02, S0-12)."""
    registry = LLMRegistry.create_default()
    registry.register_provider("mine", base_url="https://one.example/v1", api_key_vars=["MINE_KEY"])
    registry.initialize_provider("mine", KEY)

    registry.register_provider(
        "mine", base_url="https://one.example/v2", api_key_vars=["MINE_KEY"], replace=True
    )
    assert registry.is_provider_initialized("mine")
    registry.register_provider(
        "mine", base_url="https://two.example/v1", api_key_vars=["MINE_KEY"], replace=True
    )

    assert not registry.is_provider_initialized("mine")
    with pytest.raises(MissingKeyError, match="MINE_KEY"):
        connector_for(resolve(provider="mine"), registry)


def test_unregistering_forgets_the_key() -> None:
    """A provider that is taken away and registered anew has no key of before (S1-02)."""
    registry = LLMRegistry.create_default()
    row = registry.register_provider("mine", base_url="https://one.example/v1", api_key_vars="K")
    registry.initialize_provider("mine", KEY)

    registry.unregister_provider("MINE")
    registry.register_provider(row)

    assert not registry.is_provider_initialized("mine")


def test_a_registry_of_ones_own_is_apart(server: Loopback) -> None:
    """What a registry is given stays in it: connectors of another do not see it (S1-01, S1-06)."""
    server.always(reply("hi"))
    mine, other = LLMRegistry.create_default(), LLMRegistry.create_default()
    row = Provider(name="mine", base_url=server.url, default_model="m", api_key_vars=("MINE_KEY",))
    mine.register_provider(row)
    other.register_provider(row)
    mine.initialize_provider("mine", KEY)

    connector_for(resolve(provider="mine"), mine).call_llm("q")

    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    with pytest.raises(MissingKeyError):
        connector_for(resolve(provider="mine"), other)
    # The same row, asked in the same way: each registry has its own key for it.
    other.initialize_provider("mine", OTHER)
    connector_for(resolve(provider="mine"), other).call_llm("q")
    assert server.requests[1].headers["authorization"] == f"Bearer {OTHER}"
    with pytest.raises(ConfigError, match="unknown provider"):
        connector_for(resolve(provider="mine"))


# Secrets


def _shown(registry: LLMRegistry) -> str:
    """Give all that a registry says of itself."""
    row = registry.provider("openai")
    texts = [repr(registry), str(registry), f"{registry}", repr(registry.credentials)]
    texts += [repr(vars(registry)), repr(vars(registry.credentials)), repr(row)]
    return "\n".join([*texts, str(dict(registry.get_api_config("openai")))])


def test_a_key_is_nowhere_to_be_seen(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A key that was given is in no repr, export, log, pickle or traceback (S1-07)."""
    caplog.set_level(logging.DEBUG)
    registry = LLMRegistry.create_default(credential_manager={"groq": OTHER})
    registry.initialize_provider("openai", KEY)
    registry.initialize_provider("groq")
    connector_for(resolve(provider="openai"), registry)

    texts = [_shown(registry), caplog.text]
    texts += [path.read_text() for path in registry.to_provider_files(tmp_path / "export")]
    for value in (registry, registry.credentials):
        with pytest.raises(TypeError, match="not pickled") as at:
            pickle.dumps(value)
        texts.append(str(at.value))
    # The error with its frames and what they hold, as a debugger draws them.
    for call in (
        lambda: registry.initialize_provider("nobody", KEY[:0] + KEY),
        lambda: registry.initialize_provider("openai", " "),
    ):
        with pytest.raises(ConfigError) as failed:
            call()
        frames = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
        inner = [f for f in frames.stack if "llmport_magic" in f.filename]
        texts.append("".join(frames.format_exception_only()))
        texts += [str(frame.locals) for frame in inner]

    assert "initialized: groq, openai" in texts[0]
    for text in texts:
        assert KEY not in text
        assert OTHER not in text


# The form of a key


@pytest.mark.parametrize(
    ("provider", "key"),
    [
        ("anthropic", "sk-ant-api03-A_b-c-0123456789"),
        ("openai", "sk-proj-0123456789-_abc"),
        ("openai", "sk-0123456789abcdef"),
        ("deepseek", "sk-0123456789abcdef"),
        ("anthropic", "key-of-a-proxy"),
        ("openai", "x"),
    ],
)
def test_a_keys_form_is_nobodys_business(provider: str, key: str) -> None:
    """Keys of any form are taken without a word (S1-05)."""
    registry = LLMRegistry.create_default()

    with no_warning():
        registry.initialize_provider(provider, key)

    assert registry.is_provider_initialized(provider)


@pytest.mark.parametrize(
    ("provider", "key", "owner"),
    [
        ("openai", "sk-ant-api03-0123456789", "anthropic"),
        ("anthropic", "sk-or-v1-0123456789", "openrouter"),
        ("deepseek", "gsk_0123456789", "groq"),
        ("groq", "AIza0123456789", "gemini"),
    ],
)
def test_a_mixed_up_key_is_warned_about(provider: str, key: str, owner: str) -> None:
    """A key that looks like another vendor's is taken with a hint that does not show it (S1-05)."""
    registry = LLMRegistry.create_default()

    with pytest.warns(UserWarning, match=f"`{provider}` looks like one of `{owner}`") as seen:
        registry.initialize_provider(provider, key)

    (told,) = of_ours(seen)
    assert key not in str(told.message)
    assert told.filename == __file__
    assert registry.is_provider_initialized(provider)
