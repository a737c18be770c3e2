"""Models that end, and models by the hundred: what users are told of them."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from asking import asking
from loopback import Loopback, failure, reply
from warned import no_warning

from llmport_magic.errors import ConfigError, LLMError, UsageError
from llmport_magic.llm import embedded, retirement
from llmport_magic.llm.provider_files import provider_of_file
from llmport_magic.llm.registry import default_registry, provider_rows
from llmport_magic.notebook import commands, completion
from llmport_magic.notebook.conversation import standing
from llmport_magic.settings import configure


@pytest.fixture(autouse=True)
def _afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody be told yet, on a day between two retirements, with nothing local."""
    monkeypatch.setattr(retirement, "_told", set())
    monkeypatch.setattr(retirement, "_today", lambda: date(2026, 11, 21))
    monkeypatch.setattr(embedded, "installed", lambda *_: False)
    monkeypatch.setattr("llmport_magic.llm.transport.answers", lambda *_: False)


# What ends


async def test_a_model_that_ends_is_asked_with_one_warning(server: Loopback) -> None:
    """One warning names the day and the replacement; the same model is asked still (S1-15)."""
    server.always(reply())
    llm = asking(server, provider="openai", model="gpt-4o-mini")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await llm.call("q")
        await llm.call("q")

    told = [str(each.message) for each in caught if each.category is DeprecationWarning]
    assert told == ["`gpt-4o-mini` of `openai` ends on 2027-01-14: use `gpt-6-luna`"]
    assert [request.json["model"] for request in server.requests] == ["gpt-4o-mini"] * 2


async def test_after_its_end_a_model_is_asked_still(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the day the warning says so, for the model of one call, too; the server decides."""
    monkeypatch.setattr(retirement, "_today", lambda: date(2027, 1, 14))
    server.always(reply())
    llm = asking(server, provider="openai", model="gpt-6.1-terra")

    with pytest.warns(DeprecationWarning, match="gpt-4o-mini-2024-07-18` of `openai` ended on"):
        await llm.call("q", model="gpt-4o-mini-2024-07-18")

    assert server.requests[0].json["model"] == "gpt-4o-mini-2024-07-18"


@pytest.mark.parametrize(
    ("provider", "model", "says"),
    [
        ("openai", "gpt-4-32k", "use `gpt-6-luna`, or see `%llmport models openai`"),
        ("openai", "gpt-6-lunna", "did you mean `gpt-6-luna`? `%llmport models openai` names them"),
        ("openai", "of-tomorrow", "see `%llmport models openai`"),
        ("local", "of-tomorrow", "see `%llmport models local`"),
        ("elsewhere", "gpt-4-32k", "see its list"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_model_that_is_not_there_is_told_with_another(
    server: Loopback, provider: str, model: str, says: str
) -> None:
    """A 404 names what replaces the model, or the near name, and the list to look at."""
    server.script(failure(404))

    with pytest.raises(LLMError, match=re.escape(f"no model `{model}` at {server.url}: {says}")):
        await asking(server, provider=provider, model=model).call("q")


async def test_what_stays_and_what_is_unknown_is_not_warned_of(server: Loopback) -> None:
    """Neither a current model nor a server of one's own is warned of."""
    server.always(reply())

    with no_warning():
        await asking(server, provider="openai", model="gpt-6.1-terra").call("q")
        await asking(server, provider="openai", model="of-tomorrow").call("q")
        await asking(server, provider="elsewhere", model="gpt-4o-mini").call("q")


def test_the_warning_is_seen() -> None:
    """Python shows the warning with its usual filters, which hide those of libraries (S1-15)."""
    code = (
        "from llmport_magic.llm.retirement import warn_of_retirement as warn\n"
        "for model in ('claude-3-opus-20240229', 'claude-3-opus-20240229', 'claude-sonnet-5-5'):\n"
        "    warn('anthropic', model)"
    )

    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert seen.stderr.count("DeprecationWarning") == 1
    assert "ended on 2026-01-05: use `claude-opus-5-5`" in seen.stderr


def test_a_row_of_your_own_may_say_when_a_model_ends(tmp_path: Path) -> None:
    """A day is read as YAML writes it, with quotes or without; another word is refused (S1-22)."""
    row = "name: mine\nbase_url: https://x.example/v1\nmodels: {old: {retired_on: %s}}\n"
    for number, day in enumerate(("2026-01-31", "'2026-01-31'", "soon")):
        (tmp_path / f"{number}.yaml").write_text(row % day, "utf-8")

    for number in (0, 1):
        read = provider_of_file(tmp_path / f"{number}.yaml")
        assert read.models["old"].retired_on == "2026-01-31"
    with pytest.raises(ConfigError, match=r"2.yaml: models.old: `retired_on` is a day"):
        provider_of_file(tmp_path / "2.yaml")


def test_the_status_tells_of_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """`%llmport` has a line for a model that ends, and none for another (S1-15)."""
    for model in ("gpt-4o-mini", "gpt-6.1-terra"):
        configure(provider="openai", model=model, api_key="planted-key-0123456789")
        commands.run("", [], None)
    old, new = capsys.readouterr().out.split("answers ")[1:]

    assert "ends on 2027-01-14: use `gpt-6-luna`" in old
    assert "note " not in new


def test_what_ends_is_not_the_cheapest() -> None:
    """A model that ends is found by what it can do, but never proposed (S1-13)."""
    registry = default_registry()
    cheapest = registry.find_cheapest_model_with_capabilities("tools", "vision")

    assert cheapest is not None
    assert cheapest.retired_on is None
    assert "gpt-4o-mini" in {profile.name for profile in registry.find_models(vision=True)}


def test_a_snapshot_is_its_model() -> None:
    """The date of a snapshot, with hyphens or without, does not hide a model (S1-11)."""
    for name in ("claude-opus-5-5", "claude-opus-5-5-20260921", "claude-opus-5-5-2026-09-21"):
        profile = default_registry().find_model(name, "anthropic")
        assert profile is not None
        assert profile.name == "claude-opus-5-5"
    assert default_registry().find_model("claude-opus-5-5-1234", "anthropic") is None


# By the hundred


def test_the_list_of_all_stays_short(capsys: pytest.CaptureFixture[str]) -> None:
    """All providers are shown with their first models and how to see the others (X-06)."""
    commands.run("models", [], None)
    lines = capsys.readouterr().out.splitlines()
    many = len(default_registry().provider("openrouter").models)

    assert f"    … and {many - 8} more: `%llmport models openrouter`" in lines
    assert "    deepseek/deepseek-v4.1-flash (default)" in lines
    assert not {"    qwen/qwen3-32b", "    gpt-4o-mini"} & set(lines), "what ends is not proposed"
    assert len(lines) < 90


def test_the_list_of_one_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """One provider's list has every model with window, prices and end; unknown is a dash (X-06)."""
    commands.run("models", ["openai", "groq"], None)
    out = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in out.splitlines()}

    for name in ("openai", "groq"):
        assert set(default_registry().provider(name).models) <= lines.keys()
    assert lines["gpt-6.1-terra"][1:5] == ["1,050,000", "1", "0.05", "5"]
    assert "up to 272,000 tokens of prompt" in out
    assert lines["qwen/qwen3.6-27b"][1:5] == ["-", "-", "-", "-"]
    assert "until 2027-01-14, then gpt-6-luna" in out
    assert "anthropic" not in out


def test_what_has_ended_is_marked_and_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    """A provider's list marks what has ended, that of all counts it; who chooses is not shown it.

    Panel and completion offer the same models.
    """
    commands.run("models", ["openai"], None)
    lines = capsys.readouterr().out.splitlines()
    panel = next(row for row in standing()["providers"] if row["name"] == "openai")["models"]
    commands.run("models", [], None)
    counted = capsys.readouterr().out

    below = lines[next(n for n, text in enumerate(lines) if text.startswith("    gpt-4-32k ")) + 1]
    assert below == "      ended 2025-06-06: use gpt-6-luna"
    assert not [text for text in lines if len(text) > 80]
    assert "gpt-4o-mini" in panel, "it ends later"
    assert not {"gpt-4-32k", "gpt-4"} & set(panel)
    assert panel == _offered("%%llmport x -p openai -m ")
    assert "gpt-4-32k" not in _offered("%%gmn x -m gpt-", "gpt-")
    assert " more and 20 that have ended: `%llmport models openai`" in counted


def test_a_misspelt_provider_is_helped() -> None:
    """A name that is no provider's gets the nearest one instead of nothing."""
    with pytest.raises(UsageError, match="did you mean `openrouter`"):
        commands.run("models", ["openroter"], None)


def _offered(line: str, symbol: str = "") -> list[str]:
    return completion.complete(None, SimpleNamespace(line=line, symbol=symbol))


def test_completion_knows_all_of_them() -> None:
    """After `-m` every model that is served is offered, after `models` every provider (X-06)."""
    models = default_registry().provider("openrouter").models
    assert set(models) == set(_offered("%%llmport x -p openrouter -m "))
    assert "anthropic/claude-opus-5.5" in _offered("%%llmport x -m anthropic/cl", "anthropic/cl")
    assert _offered("%llmport models openr", "openr") == ["openrouter"]
    assert {row.name for row in provider_rows()} == set(_offered("%llmport models "))
