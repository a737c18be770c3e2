"""Status, lists, panel and completion tell one truth: who would answer, and what is missing."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asking import asking
from loopback import Loopback, failure

from llmport_magic.errors import ConfigError, LLMError
from llmport_magic.llm import LLMProviderFactory, retirement
from llmport_magic.llm.addresses import check_address, server_url
from llmport_magic.llm.registry import connector_for, default_registry, provider_rows
from llmport_magic.llm.standing import standing
from llmport_magic.notebook.completion import complete
from llmport_magic.notebook.configuration import config_lines
from llmport_magic.notebook.conversation import standing as told_to_panels
from llmport_magic.notebook.display import CellDisplay, spent_line
from llmport_magic.notebook.preview import show_preview
from llmport_magic.notebook.status import model_lines, status_lines
from llmport_magic.progress import ModuleRequest, Spent, Started
from llmport_magic.secrets import MASK
from llmport_magic.session import session
from llmport_magic.settings import configure, resolve

pytestmark = pytest.mark.usefixtures("own_registry")
KEY = "planted-key-of-nobody-0001"


def _offered(line: str) -> list[str]:
    symbol = "" if line.endswith(" ") else line.rsplit(maxsplit=1)[-1]
    return complete(None, SimpleNamespace(line=line, symbol=symbol))


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        ({"GROQ_API_KEY": KEY}, {}),
        ({"GROQ_API_KEY": KEY, "LLMPORT_GROQ_MODEL": "my-own"}, {}),
        ({"GROQ_API_KEY": KEY, "OPENAI_API_KEY": KEY}, {"provider": "groq", "model": "m"}),
        ({"LLM_PROVIDER": "openrouter", "OPENROUTER_API_KEY": KEY}, {}),
        ({}, {"provider": "ollama", "model": "m"}),
        ({}, {"base_url": "http://localhost:9/v1", "model": "m"}),
        ({}, {"provider": "mock"}),
    ],
)
def test_who_is_told_is_who_is_asked(
    environment: dict[str, str], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status and panel name the provider and the model that the connector then asks (S3-02)."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    configure(**settings)

    connector = connector_for(resolve())
    found, panel = standing(resolve()), told_to_panels()
    status = "\n".join(status_lines(resolve(), session()))

    assert (found.provider, found.model) == (connector.provider_name, connector.model_name_for_api)
    assert (panel["provider"], panel["model"]) == (found.provider, found.model)
    assert f"{found.provider} {found.model} ({panel['why']})" in status
    assert (found.missing, panel["missing"]) == ("", "")
    listed = "\n".join(model_lines([], resolve()))
    assert f"→ {found.provider}" in listed


def test_a_missing_key_is_told_before_it_is_needed() -> None:
    """A provider that was chosen and has no key is shown with the variable that sets it (S3-51)."""
    configure(provider="openrouter")

    with pytest.raises(ConfigError) as refused:
        connector_for(resolve())
    found = standing(resolve())

    assert found.missing == str(refused.value)
    assert "OPENROUTER_API_KEY" in found.missing
    assert told_to_panels()["missing"] == found.missing
    assert f"missing    {found.missing}" in status_lines(resolve(), session())
    assert "→ openrouter   set OPENROUTER_API_KEY" in "\n".join(model_lines([], resolve()))


def test_a_key_that_stays_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another address was given later, the status says why the key is not used (S2-15)."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    configure(provider="openai", base_url="https://elsewhere.test/v1")

    text = "\n".join(status_lines(resolve(), session()))

    assert "address    https://elsewhere.test/v1 (configure())" in text
    assert "was set for https://api.openai.com, not for https://elsewhere.test" in text
    assert KEY not in text


def test_nobody_is_told_with_the_ways_on() -> None:
    """Without a key, a server and a model on this machine, all three ways are named (S3-51)."""
    found, panel = standing(resolve()), told_to_panels()

    assert (found.provider, panel["provider"]) == (None, None)
    for way in ("OPENAI_API_KEY", "local server", "%llmport model install"):
        assert way in found.why
    assert panel["why"] == found.why
    assert "→ " not in "\n".join(model_lines([], resolve())[:-1])


def test_a_silent_server_is_told() -> None:
    """A local server that was named and is not there is told with what to start (S3-51)."""
    configure(provider="ollama", model="m")

    (note,) = standing(resolve()).notes

    assert note.startswith("nobody answers at http://localhost:11434")
    assert "ollama serve" in note
    assert f"note       {note}" in status_lines(resolve(), session())


def test_the_chain_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gets the prompt where the first one fails is shown before that happens (S3-05)."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    configure(provider="openai", fallback=["groq", "mock"])

    assert "then       groq, mock: the prompt goes to them, too" in status_lines(
        resolve(), session()
    )
    assert told_to_panels()["fallback"] == ["groq", "mock"]


def test_what_a_folder_says_in_vain_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A project's file that was not allowed to redirect is named with its line and the way on."""
    (tmp_path / "llmport.toml").write_text('model = "m"\nbase_url = "https://x.test"\n')
    monkeypatch.chdir(tmp_path)

    (note,) = standing(resolve(provider="openai")).notes

    assert "base_url" in note
    assert "llmport.toml, line 2" in note
    assert "%llmport trust" in note
    assert note in told_to_panels()["notes"]


def test_the_pickers_offer_what_the_registry_has() -> None:
    """Panel, lists and completion know the same providers, models and defaults (S0-44)."""
    default_registry().register_provider(
        "mine", base_url="http://localhost:9/v1", models={"m-1": {}, "m-2": {}}, default_model="m-2"
    )

    (row,) = (row for row in provider_rows() if row.name == "mine")
    (panel,) = (row for row in told_to_panels()["providers"] if row["name"] == "mine")

    assert (list(row.models), row.model) == (["m-1", "m-2"], "m-2")
    assert (panel["models"], panel["model"]) == (["m-1", "m-2"], "m-2")
    assert "mine" in _offered("%%llmport circle -p ")
    assert _offered("%%llmport circle -p mine -m ") == ["m-1", "m-2"]
    assert "m-1" in _offered("%%llmport circle -m m-")
    assert any("m-2 (default)" in line for line in model_lines([], resolve()))
    assert any("m-1" in line for line in model_lines(["mine"], resolve()))


def test_completion_follows_the_chosen_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a provider in the line, those of the one that would answer that are served still."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setattr(retirement, "_today", lambda: date(2026, 11, 22))
    models = default_registry().provider("groq").models

    offered = _offered("%%llmport circle -m ")

    assert offered == [name for name in models if not retirement.has_ended(models[name])]
    assert 0 < len(offered) < len(models)


LOGIN, SHAPED = "pw12345", "sk-aBcDeFgHiJkLmNoPqRsTuV0123"


@pytest.mark.parametrize(
    "address",
    [f"https://user:{LOGIN}@x.example/v1", f"http://localhost:9/v1?api_key={LOGIN}"],
    ids=["user", "query"],
)
def test_no_line_shows_what_an_address_or_a_model_hides(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A password in the address and a key as the model are masked as `%llmport config` does."""
    configure(provider="local", base_url=address, model=SHAPED)
    lines = [
        *status_lines(resolve(), session()),
        *config_lines([]),
        *config_lines(["local"]),
        *model_lines([], resolve()),
        *model_lines(["local"], resolve()),
        json.dumps(told_to_panels()),
    ]
    request = ModuleRequest(name="m", prompt="Area.", settings=resolve())
    show_preview(request, session())
    lines += [*_offered("%%llmport circle -p local -m "), capsys.readouterr().out]
    connector = connector_for(resolve())
    with pytest.raises(ConfigError) as refused:
        connector.call_llm("q")
    lines += [repr(connector), repr(LLMProviderFactory()), str(refused.value)]
    lines.append(str(default_registry().get_api_config("local")))

    assert [line for line in lines if LOGIN in line or SHAPED in line] == []
    assert f"answers    local {MASK} (set by configure())" in lines


def test_an_address_that_is_none_is_refused_without_its_password() -> None:
    """An address without its scheme is quoted in the error, and what it hides is not."""
    with pytest.raises(ConfigError, match="must begin with https://") as refused:
        check_address(f"//u:{LOGIN}@x.example")

    assert LOGIN not in str(refused.value)
    with pytest.raises(
        ConfigError, match="`host:no-port` is no address of `ollama`'s server"
    ) as at:
        server_url(f"u:{LOGIN}@host:no-port", "http://localhost:11434", "ollama")
    assert LOGIN not in str(at.value)


def test_no_error_and_no_cell_shows_a_key_that_stands_as_the_model(
    server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refusals that name the model, and the lines of a cell that asks it, mask what is a key."""
    server.script(failure(404), failure(403))
    for _ in range(2):
        with pytest.raises(LLMError, match=r"`\*{8}`") as refused:
            asking(server, model=SHAPED).call_llm("q")
        assert SHAPED not in str(refused.value)
    CellDisplay(None, "m").show(Started("local", SHAPED, "set", 1, "new"))

    assert f"m ← local {MASK} (set)" in capsys.readouterr().out
    assert SHAPED not in spent_line(Spent(), "local", SHAPED)
