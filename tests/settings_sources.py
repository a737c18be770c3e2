"""Every way to give a setting, each as a source that writes it, and what is told of it after."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from llmport_magic.llm.provider_settings import settings_of
from llmport_magic.llm.registry import default_registry
from llmport_magic.secrets import Secret
from llmport_magic.settings import (
    Settings,
    configure,
    project_files,
    reset_configuration,
    resolve,
    trust,
    user_config_file,
)

# What each setting is given, by a weak and by a strong source.
VALUES: dict[str, tuple[Any, Any]] = {
    "provider": ("groq", "deepseek"),
    "model": ("weak-model", "strong-model"),
    "api_key": ("weak-key-0123456789", "strong-key-0123456789"),
    "base_url": ("https://weak.example/v1", "https://strong.example/v1"),
    "temperature": (0.25, 0.75),
    "max_tokens": (11, 22),
    "timeout_ms": (1500, 2500),
}
OWN_NAME = {"timeout_ms": "total_timeout"}


class Source(NamedTuple):
    """A way to give a setting: writes it, and gives what is to be passed to `resolve`."""

    name: str
    write: Callable[[Path, Mapping[str, Any]], Any]
    names_line: bool = False


def toml(values: Mapping[str, Any], head: str = "") -> str:
    """Write a table; a provider's lies in `llm`."""
    lines = [f"[{head}]"] if head else []
    flat = {name: value for name, value in values.items() if name != "llm"}
    lines += [f"{name} = {json.dumps(value)}" for name, value in flat.items()]
    for provider, section in values.get("llm", {}).items():
        lines += [f"[{head + '.' if head else ''}llm.{provider}]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in section.items()]
    return "# a comment\n" + "\n".join(lines) + "\n"


def file_source(name: str, place: Callable[[Path], Path], head: str = "") -> Source:
    """Give a source that is a TOML file at a place."""

    def write(folder: Path, values: Mapping[str, Any]) -> None:
        path = place(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(toml(values, head), "utf-8")

    return Source(name, write, names_line=True)


def environment(folder: Path, values: Mapping[str, Any]) -> None:
    """Set variables."""
    patch = pytest.MonkeyPatch()
    PATCHES.append(patch)
    for name, value in variables(values).items():
        patch.setenv(name, value)


def variables(values: Mapping[str, Any]) -> dict[str, str]:
    """Name variables for values, `LLMPORT_LLM__GROQ__MODEL` for a provider's."""
    found = {f"LLMPORT_{OWN_NAME.get(n, n).upper()}": _text(n, v) for n, v in values.items()}
    found.pop("LLMPORT_LLM", None)
    for provider, section in values.get("llm", {}).items():
        for name, value in section.items():
            own = OWN_NAME.get(name, name).upper()
            found[f"LLMPORT_LLM__{provider.upper()}__{own}"] = _text(name, value)
    return found


def _text(name: str, value: Any) -> str:
    return str(value / 1000 if name in OWN_NAME else value)


PATCHES: list[pytest.MonkeyPatch] = []


def dotenv(folder: Path, values: Mapping[str, Any]) -> None:
    """Write a `.env` file in the project."""
    lines = [f"export {name}='{value}'" for name, value in variables(values).items()]
    (folder / ".env").write_text("# a comment\n" + "\n".join(lines), "utf-8")


def named(ending: str, by: str) -> Source:
    """Give a source that is a named file, by an argument or by `LLMPORT_CONFIG`."""

    def write(folder: Path, values: Mapping[str, Any]) -> Any:
        path = folder / f"named-{by}{ending}"
        dumped = {
            ".toml": toml,
            ".yaml": yaml.safe_dump,
            ".json": lambda v: json.dumps(v, indent=1),
        }
        path.write_text(dumped[ending](values), "utf-8")
        if by == "argument":
            return {"config": path}
        patch = pytest.MonkeyPatch()
        PATCHES.append(patch)
        patch.setenv("LLMPORT_CONFIG", str(path))
        return None

    return Source(f"{by} file {ending}", write, names_line=True)


def system_place(folder: Path) -> Path:
    """Give the system's file of an environment in the test's folder."""
    return folder.parent / "prefix" / "etc" / "llmport" / "config.toml"


# The weakest first.
SOURCES = (
    file_source("system file", system_place),
    file_source("user file", lambda _: user_config_file()),
    Source(".env", dotenv, names_line=True),
    file_source("loom.toml", lambda folder: folder / "loom.toml"),
    file_source("pyproject.toml", lambda folder: folder / "pyproject.toml", "tool.llmport"),
    file_source("llmport.toml", lambda folder: folder / "llmport.toml"),
    Source("environment", environment),
    named(".json", "LLMPORT_CONFIG"),
    named(".toml", "argument"),
    Source("configure()", lambda _, values: configure(**values)),
    Source("config=", lambda _, values: {"config": dict(values)}),
    Source("argument", lambda _, values: dict(values)),
)
BY_NAME = {source.name: source for source in SOURCES}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a project's folder, as the working directory, and an environment without files."""
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    monkeypatch.chdir(project)
    monkeypatch.setattr("sys.prefix", str(tmp_path / "prefix"))
    yield project
    forget()


def forget() -> None:
    """Take back every variable that was set, and `configure()`."""
    while PATCHES:
        PATCHES.pop().undo()
    reset_configuration()


def resolved(folder: Path, *given: tuple[Source, Mapping[str, Any]]) -> Settings:
    """Write each source, trust the project's files, and resolve."""
    passed: dict[str, Any] = {}
    for source, values in given:
        passed |= source.write(folder, values) or {}
    for path in project_files():
        trust(path)
    return resolve(**passed)


def wanted(name: str, value: Any) -> Any:
    """Give a value as a setting has it."""
    if name in OWN_NAME:
        return value / 1000
    return Secret(value) if name == "api_key" else value


def of_groq(settings: Settings) -> Settings:
    """Give what a provider gets of settings."""
    return settings_of(default_registry().provider("groq"), settings)


def check_source(settings: Settings, name: str, source: Source, folder: Path) -> None:
    """Hold the told source against the file's own text."""
    told = settings.source(name)
    if not source.names_line:
        assert told.startswith("LLMPORT_") if source.name == "environment" else told
        return
    path, _, line = told.partition(", line ")
    text = Path(path).read_text("utf-8").splitlines()[int(line.split(":")[0].split(" ")[0]) - 1]
    words = (name, name.upper(), *(word for word, own in OWN_NAME.items() if own == name))
    assert any(word in text for word in words), (told, text)
