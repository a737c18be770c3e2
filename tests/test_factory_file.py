"""`llm_factory_config.json`: one more source of settings, named or found in the project."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from asking import KEY

import llmport_magic
from llmport_magic import settings
from llmport_magic.errors import ConfigError
from llmport_magic.llm import create_llm_handler
from llmport_magic.llm.provider_settings import settings_of
from llmport_magic.llm.registry import default_registry
from llmport_magic.secrets import Secret
from llmport_magic.settings import Rank, Settings, resolve

pytestmark = pytest.mark.usefixtures("own_registry")
NAME = "llm_factory_config.json"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a project of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / ".git").mkdir()
    monkeypatch.chdir(folder)
    return folder


def _write(path: Path, fields: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(fields if isinstance(fields, str) else json.dumps(fields, indent=1), "utf-8")
    return path


def _of(name: str, /, **arguments: Any) -> Settings:
    return settings_of(default_registry().provider(name), resolve(**arguments))


# Who says it: an argument, the file where it is named, the environment, the file where it is found.
LAYERS = ("argument", "named", "environment", "found")
# The named file stands in the place of the found one: they have a test of their own.
PAIRS = [pair for pair in combinations(LAYERS, 2) if pair != ("named", "found")]
FIELDS = {
    "provider": ("provider", "groq", "gemini"),
    "model": ("model", "one", "two"),
    "api_key": ("api_key", "key-one-0123456789", "key-two-0123456789"),
    "base_url": ("base_url", "https://one.example/v1", "https://two.example/v1"),
}
WORDS = {
    "model": "default_model_override",
    "api_key": "api_key_override",
    "base_url": "base_url_override",
}


def _say(layer: str, name: str, value: str, project: Path, patch: pytest.MonkeyPatch) -> Any:
    """Let a layer say it; gives the arguments for `resolve`."""
    table = {"groq_settings_for_factory": {WORDS.get(name): value}}
    fields = {"default_provider": value} if name == "provider" else table
    if layer == "argument":
        return {name: value}
    if layer == "environment":
        one = "LLMPORT_PROVIDER" if name == "provider" else f"LLMPORT_LLM__GROQ__{name.upper()}"
        patch.setenv(one, value)
        return {}
    if layer == "found":
        path = _write(project / "data/config" / NAME, fields)
        settings.trust(path)
        return {}
    return {"factory_config_path": str(_write(project.parent / "elsewhere.json", fields))}


def _value(name: str, arguments: Any) -> Any:
    if name == "provider":
        return resolve(**arguments).provider
    found = getattr(_of("groq", **{"provider": "groq", **arguments}), name)
    return found.reveal() if isinstance(found, Secret) else found


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_says_each_field(
    layer: str, name: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Provider, model, key and address take effect from any layer alone (S2-14)."""
    arguments = _say(layer, name, FIELDS[name][1], project, monkeypatch)

    assert _value(name, arguments) == FIELDS[name][1]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize(("stronger", "weaker"), PAIRS)
def test_the_stronger_layer_wins(
    stronger: str, weaker: str, name: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An argument, the named file, the environment and a found file go in this order (S2-14)."""
    _, strong, weak = FIELDS[name]
    arguments = _say(weaker, name, weak, project, monkeypatch)
    arguments |= _say(stronger, name, strong, project, monkeypatch)

    assert _value(name, arguments) == strong


def test_a_named_file_stands_in_the_place_of_the_found(project: Path) -> None:
    """With `factory_config_path`, nothing of a found file counts, not even what it alone says."""
    _write(project / ".llmport" / NAME, {"provider": "groq"})
    path = _write(project.parent / "own.json", {"ollama_settings_for_factory": {}})

    assert resolve().provider == "groq"
    assert resolve(factory_config_path=str(path)).provider == "auto"


@pytest.mark.parametrize("how", ["argument", "configure", "environment", "LLMPORT_CONFIG"])
def test_a_file_can_be_named_in_any_way(
    how: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path is a setting; `LLMPORT_CONFIG` may name the file itself (S2-12)."""
    path = str(_write(project.parent / NAME, {"provider": "groq"}))
    if how == "configure":
        llmport_magic.configure(factory_config_path=path)
    elif how == "environment":
        monkeypatch.setenv("LLMPORT_FACTORY_CONFIG_PATH", path)
    elif how == "LLMPORT_CONFIG":
        monkeypatch.setenv(how, path)

    found = resolve(factory_config_path=path if how == "argument" else None)

    assert (found.provider, found.ranks["provider"]) == ("groq", Rank.NAMED)
    assert "line 2" in found.source("provider")


def test_an_argument_goes_before_a_handlers_own_table(project: Path) -> None:
    """A handler's table stands before the others in its file, not before an argument (S2-14)."""
    fields = {
        "groq_settings_for_factory": {"default_model_override": "weaker"},
        "provider_specific_handler_config": {"Groq": {"default_model_for_api_call": "stronger"}},
    }
    path = str(_write(project.parent / "own.json", fields))

    assert _of("groq", factory_config_path=path).model == "stronger"
    assert _of("groq", factory_config_path=path, provider="groq", model="mine").model == "mine"


def test_the_environment_does_not_beat_a_named_address(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address in the named file stands before `OLLAMA_HOST` (S2-14, S2-26)."""
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    fields = {"ollama_settings_for_factory": {"base_url_override": "http://127.0.0.1:10"}}
    path = str(_write(project.parent / "own.json", fields))

    assert _of("ollama").base_url == "http://127.0.0.1:9"
    assert _of("ollama", factory_config_path=path).base_url == "http://127.0.0.1:10"


@pytest.mark.parametrize("provider", ["ollama", "groq", "gemini", "openai"])
async def test_overrides_reach_the_handler(provider: str, project: Path) -> None:
    """Model, address and any setting, of every provider, reach its handler (S2-26)."""
    fields = {
        "default_provider_preference_order": [provider, "mock"],
        f"{provider}_settings_for_factory": {
            "default_model_override": "m1",
            "base_url_override": "http://127.0.0.1:9",
            "api_key_override": KEY,
            "timeout": 7,
        },
    }
    path = str(_write(project.parent / "own.json", fields))

    handler: Any = await create_llm_handler(factory_config_path=path)

    assert (handler.provider_name, handler.model_name_for_api) == (provider, "m1")
    assert (handler.config.base_url, handler.config.timeout_ms) == ("http://127.0.0.1:9", 7000)
    assert handler.config.api_key == Secret(KEY)


async def test_lists_of_the_file_choose_ollamas_default(project: Path) -> None:
    """The file's lists extend the shipped ones, and its order decides (S2-10, S2-12)."""
    models = {
        "good_fit": [{"id": "own", "ollama_name": "own:3b", "est_memory_needed_gb": 5}],
        "default_coding_preference_order": ["own"],
    }
    fields = {"ollama_settings_for_factory": {"cloud_run_friendly_models": models}}
    _write(project / "data/config" / NAME, fields)

    assert (await create_llm_handler("ollama")).model_name_for_api == "own:3b"
    general = await create_llm_handler("ollama", prefer="general")
    assert general.model_name_for_api == "llama3.1:8b"


async def test_an_order_may_stand_beside_the_lists(project: Path) -> None:
    """An order alone, in the table of Ollama, replaces that order (S2-10)."""
    order = {"default_coding_preference_order": ["phi4-mini"]}
    _write(project / "data/config" / NAME, {"ollama_settings_for_factory": order})

    assert (await create_llm_handler("ollama")).model_name_for_api == "phi4-mini"


def test_without_a_file_all_is_as_before() -> None:
    """The file is optional (S2-12)."""
    assert resolve().values() == Settings().values()


def test_a_named_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path and who named it are said (S2-12)."""
    monkeypatch.setenv("LLMPORT_FACTORY_CONFIG_PATH", "gone.json")

    with pytest.raises(ConfigError, match=r"no `gone.json`.*LLMPORT_FACTORY_CONFIG_PATH"):
        resolve()


@pytest.mark.parametrize("where", [f"data/config/{NAME}", f".llmport/{NAME}"])
def test_broken_json_is_an_error_with_its_line(where: str, project: Path) -> None:
    """Found or not, a broken file is never taken for an empty one (S2-12)."""
    path = _write(project / where, '{\n "provider": "groq",\n "x": \n}\n')

    with pytest.raises(ConfigError, match="line 4") as caught:
        resolve()

    assert str(path) in str(caught.value)


def test_an_edited_file_is_read_again(project: Path) -> None:
    """A change takes effect with the next look, without a restart (S2-12)."""
    path = _write(project / "data/config" / NAME, {"provider": "groq"})
    assert resolve().provider == "groq"

    _write(path, {"provider": "gemini"})

    assert resolve().provider == "gemini"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"default_providr": "groq"', "did you mean `default_provider`"),
        ('"rate_limit_profiles": {}', "set `requests_per_minute`"),
        ('"groq_settings_for_factory": {"model_override": "m"}', "`default_model_override`"),
        ('"groq_settings_for_factory": {"tmeout": 3}', "unknown field `tmeout`"),
        ('"groq_settings_for_factory": {"timeout": "soon"}', "timeout`.* float, not `soon`"),
        ('"groq_settings_for_factory": "m"', "must be a table"),
        ('"groq_settings_for_factory": {"model": "a", "default_model_override": "b"}', "once more"),
        ('"groq_settings_for_factory": {"default_coding_preference_order": []}', "unknown field"),
        ('"default_provider_preference_order": "groq"', "must be a list"),
        ('"default_provider": "a", "provider": "b"', "once more"),
        ('"provider_specific_handler_config": []', "must be a table"),
        (
            '"ollama_settings_for_factory": {"cloud_run_friendly_models": {"good": []}}',
            "did you mean `good_fit`",
        ),
    ],
)
def test_mistakes_are_said_with_their_line(line: str, message: str, project: Path) -> None:
    """An unknown field, a bad value or one said twice has its line and what was meant (S2-12)."""
    _write(project / "data/config" / NAME, '{\n "_comment": "ours",\n ' + line + "\n}\n")

    with pytest.raises(ConfigError, match=message) as caught:
        resolve()

    assert "line 3" in str(caught.value)


def test_no_key_of_the_file_is_shown(project: Path) -> None:
    """A key in it is a secret from the start, in sources and errors, too (S2-12)."""
    fields = {"groq_settings_for_factory": {"api_key_override": KEY, "timeout": "soon"}}
    path = _write(project.parent / "own.json", fields)

    with pytest.raises(ConfigError) as caught:
        resolve(factory_config_path=str(path))
    del fields["groq_settings_for_factory"]["timeout"]
    _write(path, fields)
    found = resolve(provider="groq", factory_config_path=str(path))

    assert KEY not in str(caught.value) + repr(found) + str(found.sources)
    assert found.api_key == Secret(KEY)


def test_a_found_file_cannot_redirect_until_it_is_trusted(project: Path) -> None:
    """Key and address of a found file are inert; models and the provider are not (S2-14)."""
    fields = {
        "groq_settings_for_factory": {
            "default_model_override": "m1",
            "base_url_override": "https://evil.example/v1",
            "api_key_override": KEY,
        }
    }
    path = _write(project / "data/config" / NAME, fields)
    before = _of("groq")
    settings.trust(path)
    after = _of("groq")

    assert (before.model, before.api_key) == ("m1", None)
    assert before.base_url == default_registry().provider("groq").base_url
    assert (after.base_url, after.api_key) == ("https://evil.example/v1", Secret(KEY))


def test_a_file_that_a_projects_file_names_is_no_more_than_found(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trusting what names it does not trust its text, and the environment stays stronger."""
    fields = {
        "provider": "groq",
        "groq_settings_for_factory": {"base_url_override": "https://evil.example/v1"},
    }
    _write(project / "conf/own.json", fields)
    toml = _write(project / "llmport.toml", 'factory_config_path = "conf/own.json"\n')
    assert resolve().provider == "auto"
    settings.trust(toml)

    assert (resolve().provider, resolve().ranks["provider"]) == ("groq", Rank.PROJECT)
    assert _of("groq").base_url == default_registry().provider("groq").base_url
    monkeypatch.setenv("LLMPORT_PROVIDER", "gemini")
    assert resolve().provider == "gemini"


def test_a_folder_that_is_no_project_has_its_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notebook's own folder needs no mark of a project."""
    (tmp_path / "alone").mkdir()
    monkeypatch.chdir(tmp_path / "alone")
    _write(tmp_path / "alone" / ".llmport" / NAME, {"provider": "groq"})

    assert resolve().provider == "groq"
