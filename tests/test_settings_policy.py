"""The administrator's `policy.toml` stands above every other source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asking import asking
from loopback import Loopback, reply

from llmport_magic.errors import ConfigError
from llmport_magic.llm import LLMProvider, LLMProviderFactory, create_llm_handler, embedded
from llmport_magic.llm.connector import BaseLLMConnector
from llmport_magic.llm.provider_settings import settings_of
from llmport_magic.llm.registry import (
    choose_provider,
    connector_for,
    default_registry,
    named_connector,
    provider_rows,
    register_provider,
)
from llmport_magic.notebook.configuration import config_lines, trust_lines
from llmport_magic.notebook.status import status_lines
from llmport_magic.session import session
from llmport_magic.settings import (
    Settings,
    configure,
    get_config,
    project_files,
    resolve,
    trust,
    user_config_file,
)

pytestmark = pytest.mark.usefixtures("own_registry")

KEY = "planted-key-0123456789abcdef"
Policy = Callable[[str], Path]


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Policy:
    """Give a way to write the rules of an environment in the test's folder."""
    monkeypatch.setattr("sys.prefix", str(tmp_path / "prefix"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("GROQ_API_KEY", KEY)

    def write(text: str) -> Path:
        path = tmp_path / "prefix" / "etc" / "llmport" / "policy.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a project's folder, as the working directory."""
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    monkeypatch.chdir(project)
    return project


def say(layer: str, text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Say one setting, as `name = "value"`, in a layer; gives arguments for `resolve`."""
    name, _, value = text.replace('"', "").partition(" = ")
    if layer == "environment":
        monkeypatch.setenv(f"LLMPORT_{name.upper()}", value)
    elif layer == "configure()":
        configure(**{name: value})
    elif layer == "argument":
        return {name: value}
    else:
        places = {
            "user file": user_config_file(),
            "project": folder / "llmport.toml",
            "named": folder / "named.toml",
        }
        places[layer].parent.mkdir(parents=True, exist_ok=True)
        places[layer].write_text(text, "utf-8")
        for path in project_files():
            trust(path)
        return {"config": places[layer]} if layer == "named" else {}
    return {}


LAYERS = ("user file", "project", "environment", "named", "configure()", "argument")


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "rule",
    [
        ('providers = ["groq"]', 'provider = "openai"', "does not allow the provider `openai`"),
        ('base_urls = ["https://gw.example/v1"]', 'provider = "openai"', "address of `openai`"),
        (
            'base_urls = ["https://gw.example/v1"]',
            'base_url = "https://gw.example.evil/v1"',
            "address of `local`: it allows https://gw.example/v1",
        ),
        ("embedded = false", 'provider = "embedded"', "embedded model"),
    ],
    ids=["provider", "catalogue's address", "another address", "embedded"],
)
def test_no_layer_gets_around_a_rule(
    rule: tuple[str, str, str],
    layer: str,
    policy: Policy,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever names a provider or an address that is not allowed is told by which file (X-05)."""
    text, told, says = rule
    path = policy(text)
    arguments = say(layer, told, folder, monkeypatch)

    with pytest.raises(ConfigError, match=says) as caught:
        connector_for(resolve(**arguments))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("layer", LAYERS)
def test_no_layer_changes_a_forced_setting(
    layer: str, policy: Policy, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `[settings]` says stands above every layer, tables of providers included."""
    path = policy(
        'trust = "ask"\n[settings]\ntries = 2\nmodel = "m"\n[settings.llm.groq]\nseed = 4'
    )
    arguments = say(layer, 'trust = "always"', folder, monkeypatch)
    settings = resolve(**arguments)

    assert (settings.trust, settings.source("trust")) == ("ask", f"{path}, line 1")
    assert (settings.tries, settings.source("tries")) == (2, f"{path}, line 3")
    assert resolve(trust="never").trust == "never"
    arguments = say(layer, 'tries = "9"', folder, monkeypatch)
    assert resolve(**arguments).tries == 2
    row = default_registry().provider("groq")
    for given in (resolve(provider="groq", seed=1), Settings(provider="groq", seed=1)):
        own = settings_of(row, given)
        assert (own.seed, own.model) == (4, "m")


def test_configure_does_not_change_a_rule(policy: Policy) -> None:
    """What is set in the session afterwards is clamped as well."""
    policy('[settings]\nlog = true\nmodel = "m"\n')
    configure(log=False, llm={"groq": {"model": "other"}}, provider="groq")

    assert get_config()["log"] is True
    assert resolve().model == "m"


def test_one_made_by_hand_is_held_to_the_rules(policy: Policy, server: Loopback) -> None:
    """A connector from an `LLMConfig` asks nobody that is not allowed, and sends nothing."""
    server.always(reply())
    asking(server).call_llm("q")
    llm = asking(server)
    policy('providers = ["groq"]\n')
    with pytest.raises(ConfigError, match="does not allow the provider `custom`"):
        llm.call_llm("q")
    policy('base_urls = ["https://gw.example/v1"]\n')
    with pytest.raises(ConfigError, match="does not allow the address"):
        llm.call_llm("q")
    policy(f'base_urls = ["{server.url}"]\n')
    llm.call_llm("q")
    assert len(server.requests) == 2


class _Theirs(BaseLLMConnector):
    def __init__(self, api_key: str = "", model: str = "") -> None:
        self.model = model

    def call_llm(self, prompt: str) -> str:
        return prompt


def test_a_connector_of_somebody_else_is_held_to_the_rules(policy: Policy) -> None:
    """Where nobody knows the address of a third party, the administrator must name it."""
    register_provider("theirs", connector=_Theirs, default_model="m")
    assert connector_for(resolve(provider="theirs", api_key=KEY)).call_llm("q") == "q"
    policy('base_urls = ["https://gw.example/v1"]\n')
    with pytest.raises(ConfigError, match="does not allow the address of `theirs`"):
        connector_for(resolve(provider="theirs", api_key=KEY))
    policy('base_urls = ["https://gw.example/v1"]\nproviders = ["theirs"]\n')
    assert connector_for(resolve(provider="theirs", api_key=KEY)).call_llm("q") == "q"
    policy('providers = ["groq"]\n')
    with pytest.raises(ConfigError, match="does not allow the provider `theirs`"):
        connector_for(resolve(provider="theirs", api_key=KEY))


def test_auto_passes_over_who_is_not_allowed(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` takes the first that is allowed, by name and by address, and lists say why."""
    assert choose_provider(resolve())[0] == "openai"
    policy('providers = ["groq"]\n')
    assert choose_provider(resolve())[0] == "groq"
    openai = next(row for row in provider_rows() if row.name == "openai")
    assert not openai.available
    assert "policy.toml" in openai.hint
    policy('base_urls = ["https://api.groq.com/"]\n')
    assert choose_provider(resolve())[0] == "groq"
    policy("base_urls = []\nembedded = false\n")
    monkeypatch.setattr(embedded, "installed", lambda *_: True)
    with pytest.raises(ConfigError, match="nobody can answer"):
        choose_provider(resolve())
    policy("base_urls = []\n")
    assert choose_provider(resolve())[0] == "embedded"


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ('providers = ["embedded"]', "answer: install the embedded model with `%llmport model ins"),
        ('providers = ["local", "embedded"]', "answer: start a local server, or install the emb"),
        ("embedded = false", r"set a key \(OPENAI_API_KEY, .*\), or start a local server$"),
        ("providers = []", r"answer: `.*policy\.toml` allows nobody who could: ask who keeps it"),
    ],
)
def test_only_ways_that_are_allowed_are_named(
    policy: Policy, rules: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody can answer, the error names no way that the rules close, and no empty list."""
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("GROQ_API_KEY")
    policy(rules)

    with pytest.raises(ConfigError, match=says):
        choose_provider(resolve())


def test_a_misspelt_provider_of_the_rules_is_told(policy: Policy) -> None:
    """`providers = ["opnai"]` allows nobody, which status and settings say with the near name."""
    path = policy('providers = ["opnai"]')
    says = f"no provider is called `opnai`, whom {path} allows: did you mean `openai`?"

    assert says in config_lines([])
    assert f"note       {says}" in status_lines(resolve(), session())


async def test_a_chain_is_held_to_the_rules(
    policy: Policy, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fallback that is not allowed is not asked; the error names the file (S3-06)."""
    server.always(reply())
    monkeypatch.setenv("LLMPORT_LLM__GROQ__BASE_URL", server.url)
    policy('providers = ["openai"]\nbase_urls = ["http://127.0.0.1:9/"]\n')
    router = LLMProviderFactory({"provider": "openai", "fallback": ["groq"]})

    with pytest.raises(ConfigError, match=r"policy\.toml"):
        await router.complete("q")
    assert server.requests == []


async def test_every_way_to_a_connector_is_held_to_the_rules(policy: Policy) -> None:
    """`from_name`, `from_config`, the handler and the registry refuse in the same words."""
    policy('providers = ["groq"]\n')
    section = {"llm": {"openai": {"model": "m"}}}
    ways: tuple[Callable[[], Any], ...] = (
        lambda: LLMProvider.from_name("openai").call_llm("q"),
        lambda: named_connector("openai"),
        lambda: LLMProvider.from_config("openai", section).call_llm("q"),
        lambda: choose_provider(resolve(provider="openai")),
    )
    for way in ways:
        with pytest.raises(ConfigError, match=r"policy\.toml` does not allow the provider"):
            way()
    with pytest.raises(ConfigError, match=r"policy\.toml` does not allow the provider"):
        await create_llm_handler("openai")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("providers = [", r"not valid TOML.*line 1"),
        ("\nprovider = []", r"unknown rule `provider` in .*line 2: did you mean `providers`"),
        ("embedded = 1", r"`embedded` in .*line 1 must be true or false"),
        ("providers = 'x'", r"`providers` in .*line 1 must be a list of texts"),
        ("providers = [1]", r"must be a list of texts"),
        ("trust = 'often'", r"`trust` in .*line 1 is one of never, ask, always"),
        ("[settings]\ntriess = 1", r"unknown setting `triess` in .*line 2: did you mean `tries`"),
        ("[settings]\ntries = 'x'", r"`tries` in .*line 2 must be int"),
    ],
)
def test_a_policy_that_cannot_be_read_allows_nothing(
    text: str, says: str, policy: Policy, server: Loopback
) -> None:
    """A mistake in the rules refuses every call, with path and line (X-05)."""
    server.always(reply())
    llm = asking(server)
    path = policy(text)

    for way in (resolve, lambda: llm.call_llm("q")):
        with pytest.raises(ConfigError, match=says) as caught:
            way()
        assert str(path) in str(caught.value)
    assert server.requests == []


def test_a_policy_that_is_no_file_allows_nothing(policy: Policy) -> None:
    """A folder or a link that leads nowhere in its place is not the same as no rules."""
    path = policy("")
    path.unlink()
    path.symlink_to("nowhere.toml")
    with pytest.raises(ConfigError, match=r"cannot read .*policy\.toml"):
        resolve()
    path.unlink()
    assert resolve().tries == 5
    path.mkdir()
    with pytest.raises(ConfigError, match="no plain file"):
        resolve()


def test_trust_can_be_forbidden(policy: Policy, folder: Path) -> None:
    """`project_files = false` refuses trust with the file's path, and what was trusted is inert."""
    (folder / "llmport.toml").write_text("tries = 9\n", "utf-8")
    trust_lines(["all"])
    assert resolve().tries == 9
    path = policy("project_files = false\n")
    assert resolve().tries == 5
    with pytest.raises(ConfigError, match="does not allow files of a project") as caught:
        trust_lines(["llmport.toml"])
    assert str(path) in str(caught.value)


def test_config_shows_the_rules(policy: Policy) -> None:
    """`%llmport config` names `policy.toml` where it has the last word."""
    path = policy('providers = ["groq"]\n[settings]\ntries = 2\n')
    configure(tries=9)
    lines = config_lines([])

    assert next(line for line in lines if "tries" in line).endswith("policy.toml, line 3")
    assert "the administrator allows only" in lines
    assert any("providers  groq" in line and path.name in line for line in lines)
    assert "refused: " in config_lines(["openai"])[-1]


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://gw.example/v1", True),
        ("https://GW.example:443/v1/below", True),
        ("https://gw.example/v10", False),
        ("https://gw.example/v1/../v2", False),
        ("https://gw.example/v1/%2e%2e/v2", False),
        ("http://gw.example/v1", False),
        ("https://gw.example:8443/v1", False),
        ("https://gw.example@evil.example/v1", False),
        ("https://evil.example/?https://gw.example/v1", False),
        ("https://gw.example.evil.example/v1", False),
        ("not a url", False),
    ],
)
def test_an_address_is_compared_as_an_address(url: str, allowed: bool, policy: Policy) -> None:
    """Scheme, host, port and folder are compared, not letters."""
    from llmport_magic.settings import administration

    policy('base_urls = ["https://gw.example/v1"]\n')
    assert (administration().refusal("local", url) is None) is allowed
