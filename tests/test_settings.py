"""Settings resolve in layers, and each value tells where it came from."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import llmport_magic
from llmport_magic.errors import ConfigError
from llmport_magic.secrets import Secret
from llmport_magic.settings import (
    configure,
    get_config,
    reset_configuration,
    resolve,
    user_config_file,
)

LAYERS = ("user file", "environment", "named file", "configure", "argument")


def _set_layer(
    layer: str, values: dict[str, str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> dict[str, str]:
    toml = "\n".join(f'{name} = "{value}"' for name, value in values.items())
    if layer == "user file":
        user_config_file().parent.mkdir(parents=True, exist_ok=True)
        user_config_file().write_text(toml, encoding="utf-8")
    elif layer == "environment":
        for name, value in values.items():
            monkeypatch.setenv(f"LLMPORT_{name.upper()}", value)
    elif layer == "named file":
        named = folder / "named.toml"
        named.write_text(f"[llmport]\n{toml}", encoding="utf-8")
        monkeypatch.setenv("LLMPORT_CONFIG", str(named))
    elif layer == "configure":
        configure(**values)
    else:
        return values
    return {}


@pytest.mark.parametrize("name", ["provider", "model", "base_url", "module_dir"])
@pytest.mark.parametrize("weak", range(len(LAYERS)))
@pytest.mark.parametrize("strong", range(len(LAYERS)))
def test_the_stronger_layer_wins(
    name: str, weak: int, strong: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every layer beats every weaker one, for every setting (S0-11)."""
    if weak >= strong:
        weak, strong = strong, weak
    _set_layer(LAYERS[weak], {name: "weak"}, monkeypatch, tmp_path)
    if weak == strong:
        arguments = _set_layer(LAYERS[weak], {name: "strong"}, monkeypatch, tmp_path)
    else:
        arguments = _set_layer(LAYERS[strong], {name: "strong"}, monkeypatch, tmp_path)
    settings = resolve(**arguments)
    assert getattr(settings, name) == "strong"
    assert settings.source(name) != "default"


def test_another_provider_does_not_get_the_key_of_the_first() -> None:
    """Switching the provider drops the model, key and URL of the previous one (S0-12)."""
    configure(
        provider="gemini", api_key="key-of-gemini-0001", model="gemini-x", base_url="http://g"
    )
    switched = resolve(provider="openrouter")
    assert (switched.api_key, switched.model, switched.base_url) == (None, None, None)
    configure(provider="openrouter")
    assert resolve().api_key is None


def test_none_does_not_erase() -> None:
    """`configure(model=None)` leaves the model as it was (S0-11)."""
    configure(provider="openai", model="m")
    configure(model=None, temperature=0.5)
    assert resolve().model == "m"


def test_what_was_set_for_the_session_is_taken_back_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`reset_configuration("fallback")` drops that one, and the next source speaks."""
    monkeypatch.setenv("LLMPORT_BUDGET_DOLLARS", "2")
    configure(provider="openai", model="m", fallback=["groq"], budget_dollars=9, tries=2)
    configure(llm={"groq": {"model": "g"}})
    reset_configuration("fallback", "budget_dollars", "llm")
    now = resolve()
    assert (now.fallback, now.budget_dollars, now.tries, now.model) == ((), 2, 2, "m")
    assert resolve(provider="groq").model is None
    reset_configuration("provider")
    assert (resolve().provider, resolve().model, resolve().tries) == ("auto", None, 2)
    reset_configuration()
    assert resolve().tries == 5


def test_taking_back_knows_its_names() -> None:
    """A misspelt name is refused with the near one, and nothing is taken back."""
    configure(tries=2)
    with pytest.raises(ConfigError, match="did you mean `fallback`"):
        reset_configuration("tries", "falback")
    assert resolve().tries == 2


def test_configure_takes_effect_at_once() -> None:
    """A value set after the first use is there in the next call (S0-14)."""
    assert resolve().tries == 5
    configure(tries=2)
    assert resolve().tries == 2


def test_the_environment_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable set after the import counts (S0-13, S4-04)."""
    monkeypatch.setenv("LLM_PROVIDER", "groq")
    assert resolve().provider == "groq"
    monkeypatch.setenv("LLMPORT_PROVIDER", "deepseek")
    assert resolve().provider == "deepseek"


def test_a_copy_of_the_settings_shows_no_key() -> None:
    """`get_config()` gives a copy in which the key is masked (S0-11)."""
    configure(api_key="planted-key-000001")
    config = get_config()
    assert config["api_key"] == Secret("planted-key-000001")
    assert "planted-key-000001" not in repr(config)
    config["provider"] = "changed"
    assert get_config()["provider"] == "auto"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"modle": "x"}, "did you mean `mode`"),
        ({"attempts": "many"}, "must be int"),
        ({"attempts": -1}, "must be int"),
        ({"total_timeout": "nan"}, "must be float"),
        ({"mode": "fast"}, "live, frozen"),
        ({"log": "maybe"}, "must be bool"),
    ],
)
def test_a_bad_value_changes_nothing(bad: dict[str, object], says: str) -> None:
    """A bad setting is refused with its name, and the good one beside it is not taken (S0-15)."""
    with pytest.raises(ConfigError, match=says):
        configure(provider="openai", **bad)
    assert resolve().provider == "auto"


def test_a_broken_file_names_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A settings file that is no TOML is named in the error."""
    broken = tmp_path / "broken.toml"
    broken.write_text("provider = ", encoding="utf-8")
    monkeypatch.setenv("LLMPORT_CONFIG", str(broken))
    with pytest.raises(ConfigError, match=r"broken\.toml"):
        resolve()


def test_the_public_api_has_its_names() -> None:
    """The public functions are importable with their keyword names (S0-10)."""
    parameters = inspect.signature(llmport_magic.llmport).parameters
    assert {"module_name", "prompt", "overwrite", "log", "stdout"} <= set(parameters)
    assert list(inspect.signature(llmport_magic.update).parameters)[:2] == ["module_name", "prompt"]
    assert callable(llmport_magic.configure)
    assert callable(llmport_magic.get_config)
    assert callable(llmport_magic.run)
    assert callable(llmport_magic.llmport)
