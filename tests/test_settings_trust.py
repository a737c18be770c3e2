"""A settings file that is found, not named, decides nothing that matters before it is trusted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cloned_project
import pytest
from cloned_project import KEY, written
from loopback import Loopback, reply

from llmport_magic.errors import ConfigError
from llmport_magic.llm.provider_settings import settings_of
from llmport_magic.llm.registry import connector_for, default_registry
from llmport_magic.notebook.configuration import trust_lines
from llmport_magic.settings import (
    Settings,
    distrust,
    held_back,
    is_trusted,
    project_files,
    resolve,
    setting_names,
    trust,
    user_config_file,
)
from llmport_magic.settings.project import HARMLESS, project_folder
from llmport_magic.settings.values import OF_A_PROVIDER

pytestmark = pytest.mark.usefixtures("own_registry")

folder = cloned_project.folder

# Why a setting needs trust.
_REDIRECTS = (
    "api_key",
    "api_key_env",
    "api_key_file",
    "ask_for_key",
    "base_url",
    "factory_config_path",
    "fallback",
    "headers",
    "keyring",
    "models",
    "options",  # A gateway may take another vendor, or a tool, from them.
    "plain_http_hosts",
    "transport",
    "trust_env",
)
_EXECUTES = (
    "sandbox_least",
    "sandbox_memory_mb",
    "sandbox_preload",
    "sandbox_seconds",
    "sandbox_warm",
    "templates",
    "trial_rows",
    "trust",
)
_SPENDS = (
    "attempts",
    "budget_dollars",
    "budget_seconds",
    "context_tokens",
    "budget_tokens",
    "burst",
    "requests_per_minute",
    "retry_budget",
    "shared_limits",
    "tokens_per_minute",
    "tries",
)
_RECORDS = ("cache", "cache_megabytes", "cache_seconds", "log", "log_text")
NEEDS_TRUST = frozenset((*_REDIRECTS, *_EXECUTES, *_SPENDS, *_RECORDS))
# It depends on the value.
BY_VALUE = frozenset(("embedded_model", "mode", "model", "module_dir", "provider"))

# A value for each setting that differs from its default, as TOML.
VALUES: dict[str, str] = {
    "api_key": f'"{KEY}"',
    "api_key_env": '["OTHER_KEY"]',
    "api_key_file": '"key.txt"',
    "ask_for_key": "true",
    "attempts": "50",
    "base_url": '"https://evil.example/v1"',
    "budget_dollars": "99",
    "budget_seconds": "99999",
    "context_tokens": "99999",
    "budget_tokens": "99999999",
    "burst": "99",
    "cache": "true",
    "cache_megabytes": "99999",
    "cache_seconds": "1",
    "factory_config_path": '"evil.json"',
    "fallback": '["openrouter"]',
    "headers": '{ "x-api-key" = "planted-header-01234" }',
    "keyring": "true",
    "log": "false",
    "models": '{ "gmn" = "evil-model" }',
    "log_text": "true",
    "options": '{ models = ["another/vendor"] }',
    "plain_http_hosts": '["evil.example"]',
    "requests_per_minute": "9999",
    "retry_budget": "999",
    "sandbox_least": '"process only"',
    "sandbox_memory_mb": "99999",
    "sandbox_preload": '["evil"]',
    "sandbox_seconds": "9999",
    "sandbox_warm": "false",
    "trial_rows": "0",
    "shared_limits": "true",
    "templates": '"evil.toml"',
    "tokens_per_minute": "9999999",
    "transport": '"httpx2"',
    "tries": "100",
    "trust": '"always"',
    "trust_env": "false",
    # Those that depend on the value.
    "embedded_model": '"evil.gguf"',
    "mode": '"live"',
    "model": '"evil.gguf"',
    "module_dir": '"../outside"',
    "provider": '"mock"',
}


def test_every_setting_is_decided() -> None:
    """Each setting is harmless, needs trust, or depends on its value: none is forgotten."""
    assert sorted([*NEEDS_TRUST, *BY_VALUE, *HARMLESS]) == sorted(setting_names())
    assert set(VALUES) == NEEDS_TRUST | BY_VALUE


def as_variable(name: str, value: str) -> str:
    """Write a value of TOML as it stands in a variable."""
    value = value.strip('"')
    if name in ("headers", "models", "options"):
        return (
            value.replace(" = ", ": ")
            .replace("{ mo", '{ "mo')
            .replace("els:", 'els":')
            .replace("ode:", 'ode":')
        )
    return value.strip("[]").strip('"')


@pytest.mark.parametrize("name", sorted(VALUES))
@pytest.mark.parametrize("file", ["llmport.toml", "pyproject.toml", ".env"])
def test_what_matters_is_inert(name: str, file: str, folder: Path) -> None:
    """In every kind of file every such setting is inert, listed with its line, and then active."""
    before = getattr(resolve(), name)
    text = {
        "llmport.toml": f"{name} = {VALUES[name]}\n",
        "pyproject.toml": f"[tool.llmport]\n{name} = {VALUES[name]}\n",
        ".env": f"LLMPORT_{name.upper()}='{as_variable(name, VALUES[name])}'\n",
    }[file]
    path = written(folder, text, file)
    written(folder, "{}", "evil.json")

    settings = resolve()
    assert getattr(settings, name) == before
    assert settings.source(name) in ("default", "LLMPORT_TRANSPORT")
    line = 2 if file == "pyproject.toml" else 1
    inert = {name: place for layer in settings.layers for name, place in layer.inert.items()}
    assert f"line {line}" in inert[name]
    assert [each.name for each in held_back(path)] == [name]
    trust(path)
    active = resolve()
    assert active.source(name).startswith(str(path)) or name == "transport"
    assert getattr(active, name) != before or name in ("mode", "trust_env", "transport")


@pytest.mark.parametrize("name", sorted({*NEEDS_TRUST, "model"} & set(OF_A_PROVIDER)))
@pytest.mark.parametrize("file", ["llmport.toml", "pyproject.toml", "loom.toml", ".env"])
def test_a_providers_table_is_inert(name: str, file: str, folder: Path) -> None:
    """The same holds in a provider's table and in its variables."""
    head = "tool.llmport." if file == "pyproject.toml" else ""
    text = f"[{head}llm.groq]\n{name} = {VALUES[name]}\n"
    if file == ".env":
        text = f"LLMPORT_LLM__GROQ__{name.upper()}='{as_variable(name, VALUES[name])}'\n"
    row = default_registry().provider("groq")
    before = getattr(settings_of(row, resolve(provider="groq")), name)
    path = written(folder, text, file)

    assert getattr(settings_of(row, resolve(provider="groq")), name) == before
    assert len(held_back(path)) == 1
    trust(path)
    assert getattr(settings_of(row, resolve(provider="groq")), name) != before


@pytest.mark.parametrize(
    ("variable", "provider", "name"),
    [
        ("OPENAI_API_KEY", "openai", "api_key"),
        ("GOOGLE_API_KEY", "gemini", "api_key"),
        ("MINDX_LLM__GROQ__API_KEY", "groq", "api_key"),
        ("MINDX_LLM__GROQ__BASE_URL", "groq", "base_url"),
        ("OLLAMA_HOST", "ollama", "base_url"),
        ("LLMPORT_LLM__EMBEDDED__MODEL", "embedded", "model"),
    ],
)
def test_the_vendors_variables_are_inert_in_a_file(
    variable: str, provider: str, name: str, folder: Path
) -> None:
    """A key, a host or a model's file in `.env` under any spelling waits for trust."""
    row = default_registry().provider(provider)
    before = getattr(settings_of(row, resolve(provider=provider)), name)
    path = written(folder, f"{variable}=http://evil.example:81/m.gguf\n", ".env")

    assert getattr(settings_of(row, resolve(provider=provider)), name) == before
    assert variable in "\n".join(trust_lines([]))
    trust(path)
    assert getattr(settings_of(row, resolve(provider=provider)), name) != before


def test_a_row_of_ones_own_reads_no_strange_variable(folder: Path) -> None:
    """Only a row tells what a variable means: whatever it names is inert in `.env`."""
    default_registry().register_provider(
        "corp", base_url="https://corp.example/v1", api_key_vars=["CORP_PASS"], default_model="m"
    )
    path = written(folder, f"CORP_PASS={KEY}\nCORP_MODEL=x\n", ".env")
    row = default_registry().provider("corp")

    assert settings_of(row, resolve(provider="corp")).api_key is None
    trust(path)
    assert settings_of(row, resolve(provider="corp")).api_key is not None


def test_what_is_harmless_counts_at_once(folder: Path) -> None:
    """Provider, model, temperature, deadlines and a folder within count without trust."""
    path = written(
        folder,
        'provider = "groq"\nmodel = "m"\ntemperature = 0.5\nmodule_dir = "made"\nmode = "frozen"\n'
        '[llm.openai]\nmodel = "n"\ntimeout_sec = 9\n',
    )
    settings = resolve()

    assert not is_trusted(path)
    assert (settings.provider, settings.model, settings.temperature) == ("groq", "m", 0.5)
    assert (settings.module_dir, settings.mode) == (str(folder / "made"), "frozen")
    assert held_back(path) == ()


def test_the_users_choice_of_a_provider_stands(folder: Path) -> None:
    """Where the user's own file names who answers, a found file does not name another."""
    user_config_file().parent.mkdir(parents=True)
    user_config_file().write_text('provider = "local"\n', "utf-8")
    path = written(folder, 'provider = "groq"\nmodel = "m"\n')

    assert resolve().provider == "local"
    trust(path)
    assert resolve().provider == "groq"


def test_a_variable_in_a_value_waits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`${NAME}` would carry the environment somewhere: it is not even looked up before trust."""
    path = written(folder, 'model = "m-${HIDDEN}"\n')

    assert resolve().model is None
    trust(path)
    with pytest.raises(ConfigError, match=r"`\$\{HIDDEN\}` of `model` in .*line 1 is not set"):
        resolve()
    monkeypatch.setenv("HIDDEN", "x")
    assert resolve().model == "m-x"


def test_a_file_that_changes_is_inert_again(folder: Path) -> None:
    """Trust is in a text: any other text of the same file waits anew, the old one does not."""
    path = written(folder, "tries = 7\n")
    trust(path)
    assert resolve().tries == 7
    written(folder, "tries = 8\n")
    assert resolve().tries == 5
    written(folder, "tries = 7\n")
    assert resolve().tries == 7
    assert distrust(path)
    assert (resolve().tries, distrust(path)) == (5, False)


def test_a_link_is_trusted_for_what_it_leads_to(folder: Path, tmp_path: Path) -> None:
    """A linked file is its target: trust in one text is none in what the link leads to later."""
    good, evil = tmp_path / "good.toml", tmp_path / "evil.toml"
    good.write_text("tries = 7\n", "utf-8")
    evil.write_text("tries = 9\n", "utf-8")
    path = folder / "llmport.toml"
    path.symlink_to(good)
    trust(path)
    assert resolve().tries == 7
    path.unlink()
    path.symlink_to(evil)
    assert resolve().tries == 5


def test_a_folder_that_leads_outside_is_outside(folder: Path, tmp_path: Path) -> None:
    """A link in the project does not make an outer folder one of the project's."""
    (tmp_path / "outer").mkdir()
    (folder / "link").symlink_to(tmp_path / "outer")
    written(folder, 'module_dir = "link"\n')

    assert resolve().module_dir == "."
    inner = folder / "below"
    inner.mkdir()
    os.chdir(inner)
    written(folder, 'module_dir = "made"\n')
    assert resolve().module_dir == str(folder / "made")


def test_the_search_ends_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in the user's home or above belong to no project, also where home is a link (X-05)."""
    home = tmp_path / "real"
    work = home / "work"
    work.mkdir(parents=True)
    (tmp_path / "link").symlink_to(home)
    for place in (home, tmp_path):
        (place / "llmport.toml").write_text("seed = 7\n", "utf-8")
    monkeypatch.chdir(work)
    for each in (home, tmp_path / "link"):
        monkeypatch.setenv("HOME", str(each))
        assert project_folder() is None
        assert resolve().seed is None
    (work / "llmport.toml").write_text("seed = 8\n", "utf-8")
    assert resolve().seed == 8


def test_a_folder_that_is_gone_is_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A working directory that was removed has no files, and settings resolve."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert project_files() == []
    assert resolve().tries == 5


def test_no_prompt_leaves_for_a_cloned_folder(
    folder: Path, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder's file sends neither prompt nor key to its own server, until it may (S2-14)."""
    server.always(reply())
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    path = written(folder, f'provider = "groq"\n[llm.groq]\nbase_url = "{server.url}"\n')

    assert connector_for(resolve()).config.base_url == "https://api.groq.com/openai/v1"  # type: ignore[attr-defined]
    trust(path)
    connector_for(resolve()).call_llm("q")
    assert [r.headers["authorization"] for r in server.requests] == [f"Bearer {KEY}"]


def test_settings_by_hand_have_no_project() -> None:
    """Settings that were made by hand are as strong as arguments."""
    row = default_registry().provider("groq")
    own: Any = settings_of(row, Settings(provider="groq", model="m"))

    assert (own.model, own.base_url) == ("m", "https://api.groq.com/openai/v1")
