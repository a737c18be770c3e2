"""Mistakes in the YAML file of a provider are told with file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest
from provider_mine import URL, yaml_file

from llmport_magic.errors import ConfigError
from llmport_magic.llm.registry import LLMRegistry

pytestmark = pytest.mark.usefixtures("own_registry")


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
    path = yaml_file(tmp_path, f"name: mine\nbase_url: {URL}\nmodels:\n  m:\n{text}\n", "bad.yaml")
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
    path = yaml_file(tmp_path, f"{text}\n", "bad.yaml")

    with pytest.raises(ConfigError, match=says) as caught:
        LLMRegistry().load_provider_file(path)

    assert str(caught.value).startswith("bad.yaml")
    assert f"(line {line})" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "5", "name: mine", "models: {}", "&a [*a]", "\x00"])
def test_what_is_no_provider_is_told(tmp_path: Path, text: str) -> None:
    """An empty file, a list, or a provider without an address is an error of one line (S1-22)."""
    with pytest.raises(ConfigError, match=r"^bad\.yaml[^\n]*$"):
        LLMRegistry().load_provider_file(yaml_file(tmp_path, text, "bad.yaml"))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A missing file is named, and why it cannot be read (S1-22)."""
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read: No such file"):
        LLMRegistry().load_provider_file(tmp_path / "none.yaml")
