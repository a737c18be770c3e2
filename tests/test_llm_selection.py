"""Who answers: `auto`, switching, and the connectors of third parties."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import pytest
from loopback import Loopback, failure, raw, reply
from two_providers import real_answers

from llmport_magic.errors import ConfigError
from llmport_magic.llm import embedded, selection
from llmport_magic.llm.capabilities import (
    Provider,
)
from llmport_magic.llm.catalogue import provider_from
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.mock import MockConnector
from llmport_magic.llm.provider import LLMProvider
from llmport_magic.llm.registry import (
    CONNECTOR_MAP,
    PROVIDER_CONFIG,
    choose_provider,
    connector_for,
    default_model,
    default_registry,
    provider_rows,
    register_provider,
)
from llmport_magic.notebook.completion import complete
from llmport_magic.notebook.status import model_lines
from llmport_magic.settings import configure, resolve

KEY = "planted-key-0123456789abcdef"
OTHER = "another-key-fedcba9876543210"


pytestmark = pytest.mark.usefixtures("own_registry")


# Who answers


def test_a_key_in_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Auto takes the first provider of the catalogue whose key is set, and says why (S3-02)."""
    monkeypatch.setenv("GROQ_API_KEY", OTHER)
    assert choose_provider(resolve()) == ("groq", "GROQ_API_KEY is set")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert choose_provider(resolve()) == ("openai", "OPENAI_API_KEY is set")
    assert choose_provider(resolve(provider="groq"))[0] == "groq"
    assert choose_provider(resolve(model="llama-3.3-70b-versatile"))[0] == "groq"


def test_then_a_local_server_then_the_embedded_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key a local server that answers is taken, then the embedded model."""
    monkeypatch.setattr(embedded, "installed", lambda *_: True)
    assert choose_provider(resolve()) == ("embedded", "it is installed")
    selection._probed.clear()
    monkeypatch.setattr("llmport_magic.llm.transport.answers", lambda *_: True)
    assert choose_provider(resolve())[0] == "local"


def test_what_a_local_server_serves_is_listed(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`%llmport models local` names what the server serves, and `-m` then knows it unasked."""
    monkeypatch.setattr("llmport_magic.llm.transport.answers", real_answers)
    names = [f"m-{number}" for number in range(45)]
    server.always(raw(json.dumps({"data": [{"id": name} for name in [*names, "b\x1b[2J"]]})))
    row = default_registry().provider("local")
    register_provider(replace(row, base_url=server.url), replace=True)

    lines = model_lines(["local"], resolve())
    asked = len(server.requests)
    offered = complete(None, SimpleNamespace(line="%%llmport x -p local -m m-4", symbol="m-4"))

    assert lines[1:-1] == [*(f"    {name}" for name in names[:40]), "    and 5 more"]
    assert offered == ["m-4", *names[40:]]
    assert len(server.requests) == asked
    server.always(failure(500))
    assert "it does not say what it serves" in "\n".join(model_lines(["local"], resolve()))


def test_a_real_local_server_is_found(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe asks the models endpoint, waits 0.3 s at most, and is remembered a while."""
    waits: list[float] = []

    def answers(url: str, seconds: float) -> bool:
        waits.append(seconds)
        return real_answers(url, seconds)

    monkeypatch.setattr("llmport_magic.llm.transport.answers", answers)
    monkeypatch.setattr(selection, "_PROBE_LASTS_SECONDS", 600.0)
    server.always(raw('{"data": [{"id": "m"}]}'))
    row = default_registry().provider("local")
    fields_ = {f.name: getattr(row, f.name) for f in fields(Provider)} | {"base_url": server.url}
    register_provider(Provider(**fields_), replace=True)

    assert choose_provider(resolve()) == ("local", f"a server answers at {server.url}")
    assert choose_provider(resolve())[0] == "local"
    assert [request.path for request in server.requests] == ["/v1/models"]
    assert waits == [0.3]
    selection._probed.clear()
    server.always(failure(500))
    with pytest.raises(ConfigError):
        choose_provider(resolve())


def test_nobody_is_never_the_mock() -> None:
    """With nothing there, the error names the ways on, and the mock is not one (S2-20)."""
    with pytest.raises(ConfigError, match=r"OPENAI_API_KEY.*model install") as caught:
        choose_provider(resolve())

    assert "mock" not in str(caught.value)
    assert isinstance(connector_for(resolve(provider="mock")), MockConnector)


def test_a_base_url_alone_means_a_local_server() -> None:
    """A URL that somebody set is asked without a provider's name; a key alone is for nobody."""
    assert choose_provider(resolve(base_url="http://localhost:1/v1"))[0] == "local"
    with pytest.raises(ConfigError, match="not for whom"):
        choose_provider(resolve(api_key=KEY))


# Switching


def test_switching_carries_nothing_along(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another provider gets neither key nor model nor URL of the one before (S0-12, S2-15)."""
    configure(provider="groq", api_key=KEY, model="x", base_url="https://elsewhere.example/v1")
    groq = connector_for(resolve())
    monkeypatch.setenv("OPENROUTER_API_KEY", OTHER)
    openrouter = connector_for(resolve(provider="openrouter"))
    assert isinstance(groq, LLMProvider)
    assert isinstance(openrouter, LLMProvider)

    assert groq.config.base_url == "https://elsewhere.example/v1"
    assert openrouter.config.base_url == "https://openrouter.ai/api/v1"
    assert openrouter.model_name_for_api == "deepseek/deepseek-v4.1-flash"
    assert openrouter.config.api_key != groq.config.api_key
    with pytest.raises(ConfigError, match="DEEPSEEK_API_KEY"):
        connector_for(resolve(provider="deepseek"))


def test_configuring_later_takes_effect(server: Loopback) -> None:
    """A setting changed after the first call is used by the second (S0-14)."""
    server.always(reply())
    configure(provider="local", base_url=server.url, model="first")
    connector_for(resolve()).call_llm("q")
    configure(model="second", temperature=0.1)
    connector_for(resolve()).call_llm("q")

    assert [r.json["model"] for r in server.requests] == ["first", "second"]
    assert [r.json["temperature"] for r in server.requests] == [0.7, 0.1]
    assert server.accepts == 1


def test_the_same_settings_give_the_same_connector(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connector for equal settings, another for any that differs (S2-18, S0-27)."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    first = connector_for(resolve(provider="groq"))

    assert connector_for(resolve(provider="Groq")) is first
    assert connector_for(resolve()) is first
    for other in ({"model": "m"}, {"api_key": OTHER}, {"total_timeout": 5.0}, {"seed": 1}):
        assert connector_for(resolve(provider="groq", **other)) is not first


def test_the_environment_names_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """LLMPORT_<PROVIDER>_MODEL is the default of that provider only (S0-13)."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("LLMPORT_GROQ_MODEL", "from-env")
    monkeypatch.setenv("LLMPORT_OPENAI_MODEL", "of-another")

    assert connector_for(resolve(provider="groq")).model_name_for_api == "from-env"
    assert default_model("groq") == "from-env"
    assert connector_for(resolve(provider="groq", model="named")).model_name_for_api == "named"


# Third parties


class _Theirs(BaseLLMConnector):
    def __init__(self, api_key: str, model: str) -> None:
        self.api_key = api_key
        self.model = model

    def call_llm(self, prompt: str) -> str:
        return f"{self.model} with {self.api_key[:7]}: {prompt}"


def test_models_that_reason_may_write_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model thinks counts: its answer may be longer, unless somebody said how long."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)

    def longest(**settings: Any) -> Any:
        return connector_for(resolve(provider="anthropic", **settings)).config.max_tokens  # type: ignore[attr-defined]

    assert longest(model="claude-opus-5-5") == 16_384
    assert longest(model="claude-3-5-sonnet") == 4096
    assert longest(model="claude-opus-5-5", max_tokens=100) == 100


def test_the_recipe_for_a_new_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry with a class is a provider, with its key, model and variables (S0-20, S0-17)."""
    PROVIDER_CONFIG["my"] = {
        "api_key_vars": ["MY_API_KEY"],
        "default_model": "my-1",
        "model_env_var": "MY_MODEL",
        "connector": _Theirs,
    }
    with pytest.raises(ConfigError, match="MY_API_KEY"):
        connector_for(resolve(provider="my"))
    monkeypatch.setenv("MY_API_KEY", KEY)

    connector = connector_for(resolve(provider="my"))
    assert connector.call_llm("hi") == "my-1 with planted: hi"
    assert connector.provider_name == "my"
    assert choose_provider(resolve()) == ("my", "MY_API_KEY is set")
    monkeypatch.setenv("MY_MODEL", "my-2")
    assert connector_for(resolve(provider="my")).model_name_for_api == "my-2"
    assert PROVIDER_CONFIG["my"]["default_model"] == "my-1"
    assert "my" in [row.name for row in provider_rows()]
    del PROVIDER_CONFIG["my"]
    assert "my" not in PROVIDER_CONFIG
    with pytest.raises(ConfigError, match="unknown provider"):
        connector_for(resolve(provider="my"))


def test_a_class_put_into_the_connector_map_is_a_provider() -> None:
    """The seed's map of names to classes is live in both directions (S0-44)."""
    CONNECTOR_MAP["their"] = _Theirs
    PROVIDER_CONFIG["their"] = {**PROVIDER_CONFIG["their"], "default_model": "t"}

    assert CONNECTOR_MAP["their"] is _Theirs
    assert CONNECTOR_MAP["openai"] is LLMProvider
    assert {"openai", "their"} <= set(CONNECTOR_MAP)
    assert connector_for(resolve(provider="their", api_key=KEY)).call_llm("x").startswith("t with")


class _NoArguments(_Theirs):
    def __init__(self) -> None:
        super().__init__("k" * 9, "m")


class _OtherNames(_Theirs):
    def __init__(self, key: str, name: str) -> None:
        super().__init__(key, name)


class _Keywords(_Theirs):
    def __init__(self, **given: str) -> None:
        super().__init__(given["api_key"], given["model"])


@pytest.mark.parametrize("theirs", [_NoArguments, _OtherNames, _Keywords])
def test_constructors_of_every_shape_are_called(theirs: type[BaseLLMConnector]) -> None:
    """A class that takes nothing, other names or keywords is made all the same (S0-17)."""
    register_provider("shape", connector=theirs, default_model="m")

    assert connector_for(resolve(provider="shape", api_key=KEY)).call_llm("x").startswith("m with")


def test_a_connector_that_was_made_already_is_used_as_it_is() -> None:
    """An instance can be registered, such as a scripted mock (S4-29)."""
    mock = MockConnector(["one", "two"])
    register_provider("scripted", connector=mock)

    assert connector_for(resolve(provider="scripted")) is mock
    assert connector_for(resolve(provider="scripted")).call_llm("x") == "one"


def test_registering_is_checked() -> None:
    """A taken name, an unknown field and a row that leads nowhere are refused by name (S1-02)."""
    with pytest.raises(ConfigError, match="replace=True"):
        register_provider("openai", base_url="https://x.example/v1")
    with pytest.raises(ConfigError, match="did you mean `base_url`"):
        register_provider("x", base_ulr="https://x.example/v1")
    with pytest.raises(ConfigError, match="`base_url` or a `connector`"):
        register_provider("x")
    with pytest.raises(ConfigError, match="name"):
        register_provider("no name", base_url="https://x.example/v1")
    with pytest.raises(ConfigError, match="BaseLLMConnector"):
        register_provider("x", connector=dict)
    register_provider("x", connector="builtins:dict")
    with pytest.raises(ConfigError, match="BaseLLMConnector"):
        connector_for(resolve(provider="x"))


def test_a_row_of_yaml_is_enough(server: Loopback) -> None:
    """A provider that speaks a known dialect is a mapping, in the seed's layout too (S1-21)."""
    row = provider_from(
        {
            "provider": {
                "name": "mine",
                "api_base": server.url,
                "rate_limits": {"requests_per_minute": 10},
                "key_required": False,
                "default_model": "m1",
                "models": {"m1": {"capabilities": {"max_context_window": 200000}}},
            }
        }
    )
    register_provider(row)
    server.script(reply("hi"))

    connector = connector_for(resolve(provider="mine"))
    assert connector.call_llm("q") == "hi"
    assert connector.capabilities.max_context_window == 200_000
    assert server.requests[0].json["model"] == "m1"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            {"name": "x", "models": {"m": {"capabilities": {"visoin": True}}}},
            "models.m.capabilities.*vision",
        ),
        (
            {"name": "x", "models": {"m": {"capabilities": {"max_context_window": -1}}}},
            "models.m.*above 0",
        ),
        ({"name": "x", "models": ["m"]}, "models"),
        ({"models": {}}, "name"),
        ("text", "mapping"),
    ],
)
def test_a_broken_row_says_where(content: Any, says: str) -> None:
    """A wrong field of a row is named with its place (S1-22)."""
    with pytest.raises(ConfigError, match=says):
        provider_from(content, source="my.yaml")
