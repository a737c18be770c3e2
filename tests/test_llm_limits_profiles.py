"""Limits that have a name: those of a provider's plans, from the catalogue or one's own row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asking import KEY
from loopback import Loopback, reply

from llmport_magic.errors import ConfigError, LLMLimitError
from llmport_magic.llm import LLMProvider, create_llm_handler, register_provider
from llmport_magic.llm.catalogue import provider_from
from llmport_magic.llm.limits import RateLimits
from llmport_magic.llm.provider_files import as_yaml, provider_of_file

pytestmark = pytest.mark.usefixtures("own_registry")


async def limits_of(provider: str, profile: str | None, **settings: Any) -> RateLimits | None:
    """Give the limits of the connector that is made."""
    llm = await create_llm_handler(provider, "m", KEY, rate_limit_profile=profile, **settings)
    assert isinstance(llm, LLMProvider)
    return llm.config.rate_limits


@pytest.mark.parametrize(
    ("provider", "limits"), [("groq", RateLimits(30, 8_000)), ("openrouter", RateLimits(20))]
)
async def test_free_plans_have_a_profile(provider: str, limits: RateLimits) -> None:
    """`rate_limit_profile="free"` keeps the limits that the provider publishes (S2-23)."""
    assert await limits_of(provider, "free") == limits
    assert await limits_of(provider, None) is None
    assert await limits_of(provider, "default") is None


async def test_a_limit_that_is_given_goes_before_the_profiles() -> None:
    """An argument beside the profile is stronger than it, and `None` is none (S2-23)."""
    assert await limits_of("groq", "free", requests_per_minute=5) == RateLimits(5, 8_000)
    assert await limits_of("groq", "free", requests_per_minute=None) == RateLimits(30, 8_000)


async def test_an_unknown_profile_names_those_that_there_are() -> None:
    """The error says which profiles the provider has (S2-23)."""
    with pytest.raises(ConfigError, match="`huge`: there is default, free for `groq`"):
        await limits_of("groq", "huge")
    with pytest.raises(ConfigError, match="`free`: there is default for `mock`"):
        await create_llm_handler("mock", rate_limit_profile="free")


async def test_a_row_of_ones_own_has_profiles(server: Loopback, tmp_path: Path) -> None:
    """Profiles of a YAML file are taken, written again as they were, and kept (S2-23)."""
    server.always(reply())
    fields = {
        "name": "mine",
        "base_url": server.url,
        "key_required": False,
        "rate_limits": {"requests_per_minute": 1_000},
        "rate_limit_profiles": {"night": {"requests_per_minute": 0.05, "burst": 1}},
    }
    row = provider_from(fields)
    file = tmp_path / "mine.yaml"
    file.write_text(as_yaml(row), "utf-8")
    register_provider(provider_of_file(file))

    assert await limits_of("mine", "night") == RateLimits(0.05, burst=1)
    assert await limits_of("mine", "default") == RateLimits(1_000)
    llm = await create_llm_handler("mine", "m", rate_limit_profile="night")
    await llm.complete("q")
    with pytest.raises(LLMLimitError, match=r"the limit of 0\.05 requests a minute"):
        await llm.complete("q")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("profiles", "says"),
    [
        ({"free": {"request_per_minute": 1}}, "rate_limit_profiles.free: .*requests_per_minute"),
        ({"free": {"requests_per_minute": 0}}, "rate_limit_profiles: .*must be a number above 0"),
        ({"free": 30}, "rate_limit_profiles.free: a mapping of fields is needed"),
        ({"default": {}}, "`default` stands for `rate_limits`"),
        (["free"], "names are mapped to limits"),
    ],
)
def test_a_profile_that_cannot_be_used_says_where(profiles: Any, says: str) -> None:
    """A wrong field of a profile is named with its place (S1-22)."""
    with pytest.raises(ConfigError, match=says):
        provider_from({"name": "x", "base_url": "http://x/v1", "rate_limit_profiles": profiles})
