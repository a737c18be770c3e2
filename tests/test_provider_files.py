"""Providers in YAML files: the seed's own, mistakes with their lines, and there and back again."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmport_magic.errors import ConfigError
from llmport_magic.llm.capabilities import LLMProfile, ModelFamily
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.registry import LLMRegistry, default_registry
from llmport_magic.secrets import Secret
from llmport_magic.settings import user_config_file

KEY = "planted-key-0123456789abcdef"
URL = "https://x.example/v1"

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
FLAT = """\
name: mine
base_url: https://x.example/v1
api_key_vars: MINE_API_KEY
default_model: m-1
models:
  m-1:
    family: qwen
    aliases: [one]
    capabilities: {vision: true, input_cost_per_1k_tokens: 0.5, refuses: [seed]}
"""

pytestmark = pytest.mark.usefixtures("own_registry")


def _file(folder: Path, text: str, name: str = "p.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, "utf-8")
    return folder / name


class Echo(BaseLLMConnector):
    """A connector with an import path."""

    def call_llm(self, prompt: str) -> str:
        """Give the prompt back."""
        return prompt


# Read


def test_the_seeds_file_is_read(tmp_path: Path) -> None:
    """The seed's provider.yaml stands over the catalogue; what it leaves out stays (S1-21)."""
    registry = LLMRegistry.create_default()
    before = registry.provider("anthropic")

    row = registry.load_provider_file(_file(tmp_path, SEED, "provider.yaml"))

    assert row is registry.provider("anthropic")
    assert row.requests_per_minute == 1000
    assert (row.dialect, row.api_key_vars) == (before.dialect, before.api_key_vars)
    assert row.models == before.models
    assert registry.get_model("claude-3-opus").capabilities.max_context_window == 200_000
    assert registry.get_api_config("anthropic")["rate_limits"]["requests_per_minute"] == 1000


def test_the_seeds_file_is_enough_for_itself(tmp_path: Path) -> None:
    """A registry that knows nothing takes the provider and the model from the file (S1-21)."""
    registry = LLMRegistry()

    row = registry.load_provider_file(str(_file(tmp_path, SEED)))

    assert list(row.models) == ["claude-3-opus"]
    assert row.models["claude-3-opus"].provider == "anthropic"
    assert row.base_url == "https://api.anthropic.com/v1"


def test_the_flat_file_is_read(tmp_path: Path) -> None:
    """Without `provider` at the top the same fields are read, for a new provider (S1-21)."""
    registry = LLMRegistry.create_default()

    row = registry.load_provider_file(_file(tmp_path, FLAT))

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

    registry.load_provider_file(_file(tmp_path, text))

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

    registry.load_provider_file(_file(tmp_path, text))

    assert registry.get_model("gpt-5.6-sol", "openai").capabilities.max_output_tokens == 5
    assert "gpt-5.6" not in registry.provider("openai").models


def test_the_file_of_the_documents_is_read(tmp_path: Path) -> None:
    """What `docs/registry.md` shows as a file is one, limits and model included (S1-21)."""
    text = (Path(__file__).parents[1] / "docs" / "registry.md").read_text("utf-8")
    block = text.split("```yaml\n")[1].split("```")[0]

    row = LLMRegistry().load_provider_file(_file(tmp_path, block))

    assert (row.name, row.requests_per_minute) == ("mine", 1000)
    assert row.models["m-1"].capabilities.tools


# What is wrong


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "    capabilities:\n      visoin: true",
            r"models\.m\.capabilities: unknown field `visoin`: did you mean `vision`",
        ),
        (
            "    capabilities:\n      max_context_window: big",
            r"`max_context_window` must be a whole number, not `big`",
        ),
        (
            "    capabilities: {max_context_window: -1}",
            r"`max_context_window` must be above 0, not -1",
        ),
        ("    capabilities: {vision: maybe}", r"`vision` must be true or false"),
        ("    capabilities: {input_cost_per_1k_tokens: -0.5}", r"cannot be negative"),
        ("    capabilities: [vision]", r"a mapping of fields is needed"),
        ("    famly: gpt", r"models\.m: unknown field `famly`: did you mean `family`"),
        ("    family: gtp", r"unknown family `gtp`: did you mean `gpt`"),
        ("    retired_on: soon", r"`retired_on` is a day like"),
        ("    available: true", r"unknown field `available`"),
    ],
)
def test_a_mistake_in_a_model_has_its_line(tmp_path: Path, text: str, says: str) -> None:
    """File, line and field are named, with the nearest name of a misspelt one (S1-22)."""
    path = _file(tmp_path, f"name: mine\nbase_url: {URL}\nmodels:\n  m:\n{text}\n", "bad.yaml")
    where = 5 + text.count("\n")

    with pytest.raises(ConfigError, match=says) as caught:
        LLMRegistry().load_provider_file(path)

    assert str(caught.value).startswith("bad.yaml: ")
    assert f"(line {where})" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "text", "says"),
    [
        (
            3,
            "provider:\n  name: mine\n  base_ulr: x",
            "unknown field `base_ulr`: did you mean `base_url`",
        ),
        (2, "name: mine\nbase_url: example.com", "`base_url` is an address like https://host/v1"),
        (2, "name: mine\napi_base: ftp://x", "`base_url` is an address like"),
        (1, "name: not a name", "a provider needs a name like"),
        (
            3,
            "name: mine\nrate_limits:\n  request_per_minute: 5",
            "did you mean `requests_per_minute`",
        ),
        (
            3,
            "name: mine\nrate_limits:\n  requests_per_minute: 0",
            "`requests_per_minute` must be above 0",
        ),
        (2, "name: mine\nmodels: [a, b]", "`models` is a mapping"),
        (3, "name: mine\nmodels:\n  m: 5", "a model is a mapping of fields"),
        (
            2,
            "name: mine\napi_key_vars: [1]",
            r"`api_key_vars` must be a list of texts, not `\[1\]`",
        ),
        (2, "name: mine\norder: first", "`order` must be a whole number"),
        (3, "name: mine\nheaders:\n  x-a: 5", "`x-a` must be a text"),
        (2, "name: mine\nname: other", "the key stands there twice"),
        (2, "name: mine\n\tbase_url: x", "cannot be read"),
        (2, "name: mine\nmodels: {m: [}", "cannot be read"),
        (2, "provider: {name: mine}\nmodel: x", "unknown field `model`"),
    ],
)
def test_a_mistake_in_a_provider_has_its_line(
    tmp_path: Path, line: int, text: str, says: str
) -> None:
    """Wrong types, addresses, names and YAML itself are told with file and line (S1-22)."""
    path = _file(tmp_path, f"{text}\n", "bad.yaml")

    with pytest.raises(ConfigError, match=says) as caught:
        LLMRegistry().load_provider_file(path)

    assert str(caught.value).startswith("bad.yaml")
    assert f"(line {line})" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "5", "name: mine", "models: {}", "&a [*a]", "\x00"])
def test_what_is_no_provider_is_told(tmp_path: Path, text: str) -> None:
    """An empty file, a list, or a provider without an address is an error of one line (S1-22)."""
    with pytest.raises(ConfigError, match=r"^bad\.yaml[^\n]*$"):
        LLMRegistry().load_provider_file(_file(tmp_path, text, "bad.yaml"))


def test_what_is_left_empty_is_not_said(tmp_path: Path) -> None:
    """A key without a value is as if it were not there (S1-21)."""
    text = f"name: mine\nbase_url: {URL}\nmodels:\napi_key_vars:\nheaders:\nrate_limits:\n"

    row = LLMRegistry().load_provider_file(_file(tmp_path, text))

    assert (row.api_key_vars, row.key_required, dict(row.models)) == ((), False, {})


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A missing file is named, and why it cannot be read (S1-22)."""
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read: No such file"):
        LLMRegistry().load_provider_file(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "address", [KEY, f"https://me:{KEY}@x.example/v1", f"https://x.example/v1?api-key={KEY}"]
)
def test_no_key_is_shown(tmp_path: Path, address: str) -> None:
    """An address with a key in it is refused, so that none is written, and not shown (S1-07)."""
    with pytest.raises(ConfigError, match=r"`base_url`.*\(line 2\)") as caught:
        LLMRegistry().load_provider_file(_file(tmp_path, f"name: mine\nbase_url: {address}\n"))

    assert KEY not in str(caught.value)


# Folders


def test_a_folder_is_read_as_a_whole(tmp_path: Path) -> None:
    """One bad file of a folder is an error, and then nothing of it counts (S1-22)."""
    _file(tmp_path, FLAT, "a.yaml")
    _file(tmp_path, "name: bad\nbase_url: nowhere\n", "b.yaml")
    registry = LLMRegistry()

    with pytest.raises(ConfigError, match=r"b\.yaml.*line 2"):
        registry.load_provider_files(tmp_path)

    assert registry.providers(installed=False) == ()
    assert registry.load_provider_files(tmp_path / "none") == []


def test_a_folder_is_read_as_far_as_it_can_be(tmp_path: Path) -> None:
    """With `strict=False` the good files count, and a warning names the bad one (S1-22)."""
    _file(tmp_path, "name: bad\nbase_url: nowhere\n", "a.yaml")
    _file(tmp_path, FLAT, "b.yaml")
    _file(tmp_path, "name: mine\nmodels: {m-2: {}}\n", "c.yaml")
    registry = LLMRegistry()

    with pytest.warns(UserWarning, match=r"a\.yaml.*\(line 2\): the file is left out"):
        loaded = registry.load_provider_files(tmp_path, strict=False)

    assert [row.name for row in loaded] == ["mine", "mine"]
    assert set(registry.provider("mine").models) == {"m-1", "m-2"}


def test_the_users_own_folder_stands_over_the_catalogue() -> None:
    """`providers/*.yaml` beside the settings file overrides a field, or adds (S1-23)."""
    folder = user_config_file().parent / "providers"
    before = LLMRegistry.create_default()
    _file(folder, "name: openai\nmodels: {gpt-6.1-terra: {capabilities: {vision: false}}}\n")
    _file(folder, FLAT, "mine.yaml")

    registry = default_registry()

    changed = registry.get_model("gpt-6.1-terra", "openai").capabilities
    assert not changed.vision
    assert changed.tools
    assert before.get_model("gpt-6.1-terra", "openai").capabilities.vision
    assert registry.provider("mine").base_url == URL
    _file(folder, "name: openai\nbase_url: nowhere\n")
    with pytest.raises(ConfigError, match=r"p\.yaml: `base_url` is an address.*\(line 2\)"):
        LLMRegistry.create_default()


def test_a_projects_folder_is_not_read_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in a project counts only when somebody loads it (S1-23)."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".llmport" / "providers"
    _file(folder, "name: openai\nbase_url: https://evil.example/v1\n")

    registry = LLMRegistry.create_default()

    assert registry.provider("openai").base_url == "https://api.openai.com/v1"
    registry.load_provider_files(folder)
    assert registry.provider("openai").base_url == "https://evil.example/v1"


# Written


def _rows(registry: LLMRegistry) -> dict[str, Any]:
    return {row.name: row for row in registry.providers(installed=False)}


def test_there_and_back_again(tmp_path: Path) -> None:
    """Written and read again, every provider and model is what it was (S1-23, S1-24)."""
    registry = LLMRegistry.create_default()
    registry.load_provider_file(_file(tmp_path / "own", FLAT))
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
    registry.load_provider_file(_file(tmp_path, FLAT))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (path,) = registry.to_provider_files(tmp_path / "out")

    assert yaml.safe_load(path.read_text("utf-8"))["provider"]["models"] == {
        "m-1": {
            "family": "qwen",
            "aliases": ["one"],
            "capabilities": {"vision": True, "refuses": ["seed"], "input_cost_per_1k_tokens": 0.5},
        }
    }
