"""A key goes to the address that it was set for, and to no other, whoever asks and how."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from loopback import Loopback, raw, reply

from llmport_magic import bridge
from llmport_magic.errors import ConfigError, LLMPortError
from llmport_magic.llm import LLMProvider, create_llm_handler
from llmport_magic.llm.registry import connector_for, register_provider
from llmport_magic.settings import (
    configure,
    project_files,
    resolve,
    trust,
    user_config_file,
)

KEY = "planted-key-0123456789abcdef"
HEADER = "planted-header-fedcba9876543"
# The weakest first; those of the same rank are one for this rule.
LAYERS = ("user file", "project", "environment", "named", "configure()", "argument")
PAIRS = list(itertools.product(LAYERS, LAYERS))


@pytest.fixture
def home(server: Loopback) -> Loopback:
    """Give the server that the provider's row names."""
    server.always(reply())
    return server


@pytest.fixture
def other() -> Iterator[Loopback]:
    """Give another server: another origin, by its port."""
    with Loopback() as running:
        running.always(reply())
        yield running


@pytest.fixture(autouse=True)
def _mine(
    own_registry: None, home: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    monkeypatch.chdir(project)
    register_provider(
        "mine",
        base_url=home.url,
        api_key_vars=["MINE_API_KEY"],
        key_required=True,
        default_model="m",
    )


def say(values: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Say settings of the provider in layers; gives the arguments that are left."""
    passed: dict[str, Any] = {}
    for layer, section in values.items():
        lines = "\n".join(f"{name} = {_toml(value)}" for name, value in section.items())
        text = f"[llm.mine]\n{lines}\n"
        if layer == "user file":
            user_config_file().parent.mkdir(parents=True, exist_ok=True)
            user_config_file().write_text(text, "utf-8")
        elif layer == "project":
            Path("llmport.toml").write_text(text, "utf-8")
        elif layer == "environment":
            for name, value in section.items():
                monkeypatch.setenv(f"LLMPORT_LLM__MINE__{name.upper()}", _variable(value))
        elif layer == "named":
            Path("named.toml").write_text(text, "utf-8")
            monkeypatch.setenv("LLMPORT_CONFIG", "named.toml")
        elif layer == "configure()":
            configure(provider="mine", **section)
        else:
            passed = dict(section)
    for path in project_files():
        trust(path)
    return passed


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'{name} = "{text}"' for name, text in value.items()) + " }"
    return f"{value}" if isinstance(value, list) else f'"{value}"'


def _variable(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{name}": "{text}"' for name, text in value.items()) + "}"
    return " ".join(value) if isinstance(value, list) else str(value)


def by_settings(**given: Any) -> None:
    """Ask with the connector of the settings."""
    connector_for(resolve(provider="mine", **given)).call_llm("q")


def by_name(**given: Any) -> None:
    """Ask with a connector made by its name."""
    LLMProvider.from_name("mine", **given).call_llm("q")


def by_handler(**given: Any) -> None:
    """Ask with a handler."""
    handler: Any = bridge.run(create_llm_handler("mine", **given))
    handler.call_llm("q")


def by_config(**given: Any) -> None:
    """Ask with a connector of a section that says what an argument would."""
    LLMProvider.from_config("mine", {"llm": {"mine": given}}).call_llm("q")


WAYS = (by_settings, by_name, by_handler, by_config)


def keys_at(server: Loopback) -> set[str | None]:
    """Give the keys that arrived at a server, in any header."""
    return {
        secret
        for request in server.requests
        for secret in (KEY, HEADER)
        if secret in " ".join(request.headers.values())
    }


def ask(way: Callable[..., None], given: dict[str, Any]) -> str:
    """Ask; give the error's text where there is one."""
    said = ""
    try:
        way(**given)
    except LLMPortError as error:
        said = str(error)
    assert KEY not in said
    assert HEADER not in said
    return said


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("layers", PAIRS, ids=" and ".join)
def test_a_key_goes_where_its_layer_leads(
    layers: tuple[str, str], way: Any, home: Loopback, other: Loopback, monkeypatch: Any
) -> None:
    """A key follows an address of its own or a weaker layer; a stronger one gets none (S2-15)."""
    of_key, of_url = layers
    values: dict[str, dict[str, Any]] = {}
    for layer, name, value in ((of_key, "api_key", KEY), (of_url, "base_url", other.url)):
        values.setdefault(layer, {})[name] = value
    error = ask(way, say(values, monkeypatch))

    allowed = LAYERS.index(of_key) >= LAYERS.index(of_url)
    assert keys_at(other) == ({KEY} if allowed else set()), error
    assert keys_at(home) == set()
    if not allowed and way is not by_config:
        assert f"was set for {home.url.removesuffix('/v1')}, not for {other.url[:-3]}" in error
        assert "together with `base_url`" in error
        assert other.requests == []


@pytest.mark.parametrize("way", WAYS[:3], ids=lambda way: way.__name__)
@pytest.mark.parametrize("layers", PAIRS, ids=" and ".join)
def test_headers_go_where_their_layer_leads(
    layers: tuple[str, str], way: Any, home: Loopback, other: Loopback, monkeypatch: Any
) -> None:
    """Headers are bound to an address as keys are; the error says what to do (S2-15)."""
    register_provider(
        "mine", base_url=home.url, key_required=False, default_model="m", replace=True
    )
    of_headers, of_url = layers
    values: dict[str, dict[str, Any]] = {}
    headers = {"x-gateway": HEADER}
    for layer, name, value in ((of_headers, "headers", headers), (of_url, "base_url", other.url)):
        values.setdefault(layer, {})[name] = value
    error = ask(way, say(values, monkeypatch))

    allowed = LAYERS.index(of_headers) >= LAYERS.index(of_url)
    assert keys_at(home) == set()
    assert keys_at(other) == ({HEADER} if allowed else set())
    assert len(other.requests) == allowed
    if not allowed:
        assert "`headers` of `mine`" in error
        assert "set them together with `base_url`" in error


@pytest.mark.parametrize("layer", LAYERS)
def test_the_environments_key_goes_to_the_rows_address(
    layer: str, home: Loopback, other: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor's variable follows no address that stands above the environment (S2-15)."""
    monkeypatch.setenv("MINE_API_KEY", KEY)
    by_settings()
    assert keys_at(home) == {KEY}
    error = ask(by_settings, say({layer: {"base_url": other.url}}, monkeypatch))

    allowed = LAYERS.index(layer) <= LAYERS.index("environment")
    assert keys_at(other) == ({KEY} if allowed else set())
    assert bool(error) is not allowed


@pytest.mark.parametrize("layers", PAIRS, ids=" and ".join)
def test_naming_a_variable_lets_its_key_go(
    layers: tuple[str, str], home: Loopback, other: Loopback, monkeypatch: Any
) -> None:
    """`api_key_env` beside or above `base_url` allows that key to go there (S2-15, S4-16)."""
    monkeypatch.setenv("MINE_API_KEY", KEY)
    of_name, of_url = layers
    values: dict[str, dict[str, Any]] = {}
    names = ["MINE_API_KEY"]
    for layer, name, value in ((of_name, "api_key_env", names), (of_url, "base_url", other.url)):
        values.setdefault(layer, {})[name] = value
    ask(by_settings, say(values, monkeypatch))

    allowed = LAYERS.index(of_name) >= LAYERS.index(of_url)
    assert keys_at(other) == ({KEY} if allowed else set())
    assert keys_at(home) == set()


def test_a_connector_kept_for_one_layer_is_not_given_to_another(
    home: Loopback, other: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same values out of other layers are another connector: its key may not go (S2-18)."""
    monkeypatch.setenv("MINE_API_KEY", KEY)
    by_settings(base_url=other.url, api_key_env=["MINE_API_KEY"])
    monkeypatch.setenv("LLMPORT_LLM__MINE__API_KEY_ENV", "MINE_API_KEY")
    error = ask(by_settings, {"base_url": other.url})

    assert "was set for" in error
    assert len(other.requests) == 1


def test_another_provider_gets_neither_key_nor_address(
    home: Loopback, other: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider named in a stronger layer starts without what was set for the first (S0-12)."""
    register_provider("theirs", base_url=other.url, key_required=False, default_model="m")
    configure(provider="mine", api_key=KEY, headers={"x-key": HEADER}, model="secret-model")
    connector_for(resolve(provider="theirs")).call_llm("q")

    assert keys_at(other) == set()
    assert other.requests[0].json["model"] == "m"
    with pytest.raises(ConfigError, match="OPENROUTER_API_KEY"):
        connector_for(resolve(provider="openrouter"))


def test_headers_for_nobody_are_refused(home: Loopback) -> None:
    """Headers or a key's variable without a provider are given to nobody who happens to answer."""
    for name, value in (("headers", {"x-a": "b"}), ("api_key_env", ["MINE_API_KEY"])):
        with pytest.raises(ConfigError, match=f"`{name}` is set by argument, but not for whom"):
            connector_for(resolve(**{name: value}))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    status: int, home: Loopback, other: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that leads elsewhere gets an error, and elsewhere gets nothing (S2-15)."""
    monkeypatch.setenv("MINE_API_KEY", KEY)
    home.always(raw("", status=status, headers={"location": f"{other.url}/chat/completions"}))

    assert ask(by_settings, {})
    assert keys_at(home) == {KEY}
    assert other.requests == []


def test_the_magics_send_a_key_to_its_address_only(
    home: Loopback, other: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`%%llmport -p mine` asks where the settings lead, with the key of that address (S2-15)."""
    from llmport_magic.settings import reset_configuration

    monkeypatch.setenv("MINE_API_KEY", KEY)
    shell = InteractiveShell.instance()
    try:
        shell.run_line_magic("load_ext", "llmport_magic")
        configure(provider="mine", base_url=other.url)
        with pytest.raises(LLMPortError, match="was set for"):
            shell.run_cell_magic("llmport", "one", "A function one() that gives 1.")
        assert other.requests == []
        reset_configuration()
        home.always(reply("def one():\n    return 1\n"))
        shell.run_cell_magic("llmport", "one -p mine", "A function one() that gives 1.")
        assert keys_at(home) == {KEY}
        assert other.requests == []
    finally:
        InteractiveShell.clear_instance()
