"""Providers in YAML files are read: the seed's own, a field over the catalogue, whole folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from provider_mine import FLAT, URL, yaml_file

from llmport_magic.errors import ConfigError
from llmport_magic.llm.capabilities import ModelFamily
from llmport_magic.llm.registry import LLMRegistry, default_registry
from llmport_magic.settings import user_config_file

# As the seed has it, to the letter.
SEED = """\
# provider.yaml
provider:
  name: "anthropic"
  api_base: "https://api.anthropic.com/v1"
  rate_limits:
    requests_per_minute: 1000
  models:
    claude-3-opus:
      capabilities:
        max_context_window: 200000
        # ... other capabilities
"""

pytestmark = pytest.mark.usefixtures("own_registry")


# Read


def test_the_seeds_file_is_read(tmp_path: Path) -> None:
    """The seed's provider.yaml stands over the catalogue; what it leaves out stays (S1-21)."""
    registry = LLMRegistry.create_default()
    before = registry.provider("anthropic")

    row = registry.load_provider_file(yaml_file(tmp_path, SEED, "provider.yaml"))

    assert row is registry.provider("anthropic")
    assert row.requests_per_minute == 1000
    assert (row.dialect, row.api_key_vars) == (before.dialect, before.api_key_vars)
    assert row.models == before.models
    assert registry.get_model("claude-3-opus").capabilities.max_context_window == 200_000
    assert registry.get_api_config("anthropic")["rate_limits"]["requests_per_minute"] == 1000


def test_the_seeds_file_is_enough_for_itself(tmp_path: Path) -> None:
    """A registry that knows nothing takes the provider and the model from the file (S1-21)."""
    registry = LLMRegistry()

    row = registry.load_provider_file(str(yaml_file(tmp_path, SEED)))

    assert list(row.models) == ["claude-3-opus"]
    assert row.models["claude-3-opus"].provider == "anthropic"
    assert row.base_url == "https://api.anthropic.com/v1"


def test_the_flat_file_is_read(tmp_path: Path) -> None:
    """Without `provider` at the top the same fields are read, for a new provider (S1-21)."""
    registry = LLMRegistry.create_default()

    row = registry.load_provider_file(yaml_file(tmp_path, FLAT))

    assert (row.base_url, row.api_key_vars, row.key_required) == (URL, ("MINE_API_KEY",), True)
    profile = registry.find_model("one", "mine")
    assert profile is not None
    assert (profile.name, profile.family) == ("m-1", ModelFamily.QWEN)
    assert profile.capabilities.refuses == ("seed",)


def test_one_field_is_overridden(tmp_path: Path) -> None:
    """A file with one field of one model changes that field and nothing else (S1-23)."""
    registry = LLMRegistry.create_default()
    before = registry.get_model("claude-sonnet-5-5", "anthropic")
    others = dict(registry.provider("anthropic").models)
    text = """\
name: anthropic
models: {claude-sonnet-5-5: {capabilities: {max_output_tokens: 5}}}
"""

    registry.load_provider_file(yaml_file(tmp_path, text))

    after = registry.get_model("claude-sonnet-5-5", "anthropic")
    assert after.capabilities.max_output_tokens == 5
    changed = registry.provider("anthropic").models
    assert changed.keys() == others.keys()
    assert {n for n in others if changed[n] != others[n]} == {"claude-sonnet-5-5"}
    differ = {
        name
        for name in type(before.capabilities).__slots__
        if getattr(before.capabilities, name) != getattr(after.capabilities, name)
    }
    assert differ == {"max_output_tokens"}
    assert (after.family, after.aliases) == (before.family, before.aliases)


def test_a_model_may_be_meant_by_another_name(tmp_path: Path) -> None:
    """An alias in a file means its model, and makes no second one (S1-23)."""
    registry = LLMRegistry.create_default()
    text = "name: openai\nmodels: {gpt-5.6: {capabilities: {max_output_tokens: 5}}}\n"

    registry.load_provider_file(yaml_file(tmp_path, text))

    assert registry.get_model("gpt-5.6-sol", "openai").capabilities.max_output_tokens == 5
    assert "gpt-5.6" not in registry.provider("openai").models


def test_what_is_left_empty_is_not_said(tmp_path: Path) -> None:
    """A key without a value is as if it were not there (S1-21)."""
    text = f"name: mine\nbase_url: {URL}\nmodels:\napi_key_vars:\nheaders:\nrate_limits:\n"

    row = LLMRegistry().load_provider_file(yaml_file(tmp_path, text))

    assert (row.api_key_vars, row.key_required, dict(row.models)) == ((), False, {})


def test_the_file_of_the_documents_is_read(tmp_path: Path) -> None:
    """What `docs/registry.md` shows as a file is one, limits and model included (S1-21)."""
    text = (Path(__file__).parents[1] / "docs" / "registry.md").read_text("utf-8")
    block = text.split("```yaml\n")[1].split("```")[0]

    row = LLMRegistry().load_provider_file(yaml_file(tmp_path, block))

    assert (row.name, row.requests_per_minute) == ("mine", 1000)
    assert row.models["m-1"].capabilities.tools


# Folders


def test_a_folder_is_read_as_a_whole(tmp_path: Path) -> None:
    """One bad file of a folder is an error, and then nothing of it counts (S1-22)."""
    yaml_file(tmp_path, FLAT, "a.yaml")
    yaml_file(tmp_path, "name: bad\nbase_url: nowhere\n", "b.yaml")
    registry = LLMRegistry()

    with pytest.raises(ConfigError, match=r"b\.yaml.*line 2"):
        registry.load_provider_files(tmp_path)

    assert registry.providers(installed=False) == ()
    assert registry.load_provider_files(tmp_path / "none") == []
    with pytest.raises(ConfigError, match="a file, no folder: read it with `load_provider_file`"):
        registry.load_provider_files(tmp_path / "a.yaml")


def test_a_folder_is_read_as_far_as_it_can_be(tmp_path: Path) -> None:
    """With `strict=False` the good files count, and a warning names the bad one (S1-22)."""
    yaml_file(tmp_path, "name: bad\nbase_url: nowhere\n", "a.yaml")
    yaml_file(tmp_path, FLAT, "b.yaml")
    yaml_file(tmp_path, "name: mine\nmodels: {m-2: {}}\n", "c.yaml")
    registry = LLMRegistry()

    with pytest.warns(UserWarning, match=r"a\.yaml.*\(line 2\): the file is left out"):
        loaded = registry.load_provider_files(tmp_path, strict=False)

    assert [row.name for row in loaded] == ["mine", "mine"]
    assert set(registry.provider("mine").models) == {"m-1", "m-2"}


def test_the_users_own_folder_stands_over_the_catalogue() -> None:
    """`providers/*.yaml` beside the settings file overrides a field, or adds (S1-23)."""
    folder = user_config_file().parent / "providers"
    before = LLMRegistry.create_default()
    yaml_file(folder, "name: openai\nmodels: {gpt-6.1-terra: {capabilities: {vision: false}}}\n")
    yaml_file(folder, FLAT, "mine.yaml")

    registry = default_registry()

    changed = registry.get_model("gpt-6.1-terra", "openai").capabilities
    assert not changed.vision
    assert changed.tools
    assert before.get_model("gpt-6.1-terra", "openai").capabilities.vision
    assert registry.provider("mine").base_url == URL
    yaml_file(folder, "name: openai\nbase_url: nowhere\n")
    with pytest.raises(ConfigError, match=r"p\.yaml: `base_url` is an address.*\(line 2\)"):
        LLMRegistry.create_default()


def test_a_projects_folder_is_not_read_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in a project counts only when somebody loads it (S1-23)."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".llmport" / "providers"
    yaml_file(folder, "name: openai\nbase_url: https://evil.example/v1\n")

    registry = LLMRegistry.create_default()

    assert registry.provider("openai").base_url == "https://api.openai.com/v1"
    registry.load_provider_files(folder)
    assert registry.provider("openai").base_url == "https://evil.example/v1"
