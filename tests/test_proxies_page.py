"""`docs/proxies.md` and `docs/settings.md`: their examples run as they stand."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from loopback import Loopback, reply
from test_settings_trust import NEEDS_TRUST

from llmport_magic.settings import resolve

ROOT = Path(__file__).parents[1]
KEY = "planted-key-0123456789abcdef"
PROXIES = (ROOT / "docs" / "proxies.md").read_text("utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Give the fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(3))
def test_each_script_asks_the_gateway(
    number: int, server: Loopback, monkeypatch: pytest.MonkeyPatch, own_registry: None
) -> None:
    """Every Python example asks the address that it names, with that gateway's key (S0-41)."""
    server.always(reply("hello"))
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "another-key-0123456789")
    scripts = blocks(PROXIES, "python")
    assert len(scripts) == 3
    exec(compile(scripts[number], "docs/proxies.md", "exec"), {"GATEWAY": server.url})

    [request] = server.requests
    assert KEY in (request.headers.get("authorization", "") + request.headers.get("api-key", ""))
    assert request.json["model"] == "team-model"
    if number == 1:
        assert request.headers["x-team"] == "research"
    if number == 2:
        assert request.path == "/v1/chat/completions?api-version=1"
        assert "authorization" not in request.headers


@pytest.mark.parametrize("page", [PROXIES, SETTINGS], ids=["proxies", "settings"])
def test_each_file_is_read(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every TOML, YAML and JSON example is a file of settings, or of rules, that is taken."""
    for variable in ("GATEWAY_KEY", "TEAM"):
        monkeypatch.setenv(variable, KEY)
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    readers = (("toml", tomllib.loads), ("yaml", yaml.safe_load), ("json", json.loads))
    found = [(kind, text, read(text)) for kind, read in readers for text in blocks(page, kind)]
    assert len(found) >= 3
    for kind, text, table in found:
        folder = tmp_path / "etc" / "llmport" if "project_files" in table else tmp_path
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / ("policy.toml" if "project_files" in table else f"example.{kind}")
        path.write_text(text, "utf-8")
        for provider in (None, *table.get("llm", {})):
            resolve(provider=provider, config=None if path.name == "policy.toml" else path)
        if path.name == "policy.toml":
            assert resolve(log=False).log is True
            path.unlink()


def test_every_setting_that_needs_trust_is_told() -> None:
    """The table of what is inert names each setting that the code holds back."""
    section = SETTINGS.partition("## Files of a project")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)", section))

    assert sorted(NEEDS_TRUST - named - {"cache_megabytes", "cache_seconds"}) == []
