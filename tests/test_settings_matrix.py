"""Every source of settings against every other: the stronger wins, and says where it stands."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, given, strategies
from hypothesis import settings as hypothesis_settings

from llmport_magic.llm.provider_settings import settings_of
from llmport_magic.llm.registry import default_registry
from llmport_magic.secrets import Secret
from llmport_magic.settings import (
    PROVIDER_BOUND,
    Rank,
    Settings,
    configure,
    project_files,
    reset_configuration,
    resolve,
    trust,
    user_config_file,
)

pytestmark = pytest.mark.usefixtures("own_registry")

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
    _forget()


def _forget() -> None:
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


def pairs(sources: tuple[Source, ...]) -> list[tuple[Source, Source]]:
    """Give every two sources, the weaker first; the same argument is a mapping or a path."""
    both = itertools.combinations(sources, 2)
    return [
        two for two in both if {each.name for each in two} != {"argument file .toml", "config="}
    ]


FLAT = tuple(source for source in SOURCES if source.name != "loom.toml")


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("source", FLAT, ids=lambda source: source.name)
def test_each_source_alone(source: Source, name: str, folder: Path) -> None:
    """Every source gives every setting, and is named with its line (S2-14, S0-11, S2-16)."""
    settings = resolved(folder, (source, {name: VALUES[name][0]}))
    own = OWN_NAME.get(name, name)

    assert getattr(settings, own) == wanted(name, VALUES[name][0])
    check_source(settings, own, source, folder)
    assert {each for each in settings.sources if each != "transport"} == {own}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize(
    ("weak", "strong"),
    pairs(FLAT),
    ids=lambda source: source.name,
)
def test_the_stronger_of_two_wins(weak: Source, strong: Source, name: str, folder: Path) -> None:
    """Of every two sources the stronger gives the value, for every setting (S2-14)."""
    settings = resolved(folder, (strong, {name: VALUES[name][1]}), (weak, {name: VALUES[name][0]}))
    own = OWN_NAME.get(name, name)

    assert getattr(settings, own) == wanted(name, VALUES[name][1])
    check_source(settings, own, strong, folder)


OF_PROVIDER = tuple(name for name in VALUES if name != "provider")


@pytest.mark.parametrize("name", OF_PROVIDER)
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_providers_table_alone(source: Source, name: str, folder: Path) -> None:
    """Every source has a place for one provider's settings, which no other gets (S4-16, S2-15)."""
    settings = resolved(folder, (source, {"llm": {"groq": {name: VALUES[name][0]}}}))
    own = OWN_NAME.get(name, name)
    other = settings_of(default_registry().provider("deepseek"), settings)

    assert getattr(of_groq(settings), own) == wanted(name, VALUES[name][0])
    check_source(of_groq(settings), own, source, folder)
    assert getattr(other, own) != wanted(name, VALUES[name][0])
    assert getattr(settings, own) != wanted(name, VALUES[name][0])


@pytest.mark.parametrize("name", OF_PROVIDER)
@pytest.mark.parametrize(("weak", "strong"), pairs(SOURCES), ids=lambda source: source.name)
def test_the_stronger_of_two_tables_wins(
    weak: Source, strong: Source, name: str, folder: Path
) -> None:
    """Of every two sources' tables of a provider the stronger gives the value (S2-14)."""
    settings = resolved(
        folder,
        (strong, {"llm": {"groq": {name: VALUES[name][1]}}}),
        (weak, {"llm": {"groq": {name: VALUES[name][0]}}}),
    )
    own = OWN_NAME.get(name, name)

    assert getattr(of_groq(settings), own) == wanted(name, VALUES[name][1])


@pytest.mark.parametrize("ending", [".toml", ".yaml", ".json"])
@pytest.mark.parametrize("by", ["argument", "LLMPORT_CONFIG"])
@pytest.mark.parametrize("name", VALUES)
def test_every_format_of_a_named_file(ending: str, by: str, name: str, folder: Path) -> None:
    """TOML, YAML and JSON say the same, flat and in a provider's table (S2-14, S4-16)."""
    source = named(ending, by)
    flat = resolved(folder, (source, {name: VALUES[name][0]}))
    own = OWN_NAME.get(name, name)
    assert getattr(flat, own) == wanted(name, VALUES[name][0])
    check_source(flat, own, source, folder)
    if name != "provider":
        inner = resolved(folder, (source, {"llm": {"groq": {name: VALUES[name][1]}}}))
        assert getattr(of_groq(inner), own) == wanted(name, VALUES[name][1])
        check_source(of_groq(inner), own, source, folder)


def test_one_layers_table_stands_over_what_it_says_of_everybody(folder: Path) -> None:
    """In one source the provider's table is stronger; a stronger source beats both (S2-14)."""
    table = {"model": "of-all", "llm": {"groq": {"model": "of-groq"}}}

    assert of_groq(resolve(config=table)).model == "of-groq"
    assert of_groq(resolve(config=table, model="argument")).model == "argument"
    configure(provider="groq", **table)
    assert resolve().model == "of-groq"


SEEDS = (
    ("LLM_PROVIDER", "provider", "groq"),
    ("LLMPORT_GROQ_MODEL", "model", "seed-model"),
    ("MINDX_LLM__GROQ__MODEL", "model", "seed-model"),
    ("MINDX_LLM__GROQ__API_KEY", "api_key", "seed-key-0123456789"),
    ("MINDX_LLM__GROQ__BASE_URL", "base_url", "https://seed.example/v1"),
    ("LLMPORT_LLM__GROQ__TEMPERATURE", "temperature", 0.5),
    ("GROQ_API_KEY", "api_key", "seed-key-0123456789"),
)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed[0])
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_the_seeds_variables_are_read(
    seed: tuple[str, str, Any], where: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables of the documents count, in the environment and in `.env` (S0-13, S2-16)."""
    variable, name, value = seed
    if where == ".env":
        (folder / ".env").write_text(f"{variable} = {value} # told\n", "utf-8")
        trust(folder / ".env")
    else:
        monkeypatch.setenv(variable, str(value))
    settings = resolve(provider=None if name == "provider" else "groq")
    found = settings if name == "provider" else of_groq(settings)

    assert getattr(found, name) == wanted(name, value)
    assert found.source(name).endswith(variable)
    assert variable in found.source(name)


def test_the_environment_is_never_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in `.env` is read and not put into the environment, which wins (S2-16)."""
    import os

    (folder / ".env").write_text("LLMPORT_MODEL='from file'\nLLMPORT_SEED=\"7\"\n", "utf-8")
    before = dict(os.environ)

    assert (resolve().model, resolve().seed) == ("from file", 7)
    assert dict(os.environ) == before
    monkeypatch.setenv("LLMPORT_MODEL", "from environment")
    assert (resolve().model, resolve().seed) == ("from environment", 7)


def test_a_file_that_changes_is_read_again(folder: Path) -> None:
    """A named file that is written anew counts with the next call, however fast (S0-14)."""
    path = folder / "mine.toml"
    for number in range(30):
        path.write_text(f"seed = {number:04}\n".replace("= 00", "= 1"), "utf-8")
        assert resolve(config=path).seed == int(f"1{number:02}")


# What random sources say

PROVIDERS = ("groq", "deepseek", "openrouter")
_SAYINGS = strategies.fixed_dictionaries(
    {},
    optional={
        "provider": strategies.sampled_from((*PROVIDERS, "auto", "Groq")),
        "model": strategies.sampled_from(("a", "b", "c")),
        "base_url": strategies.sampled_from(("https://a.example/v1", "https://b.example/v1")),
        "temperature": strategies.sampled_from((0.0, 0.5, 1.0)),
        "llm": strategies.dictionaries(
            strategies.sampled_from(PROVIDERS),
            strategies.fixed_dictionaries(
                {},
                optional={
                    "model": strategies.sampled_from(("d", "e")),
                    "temperature": strategies.sampled_from((0.25, 0.75)),
                },
            ),
            max_size=2,
        ),
    },
)
_RANDOM = ("system file", "user file", "llmport.toml", "environment", "configure()", "argument")


def expected(layers: list[Mapping[str, Any]], provider: str, name: str) -> Any:
    """Find the strongest layer that speaks of a provider, in another way than the resolver."""
    told = [str(layer.get("provider", "")).lower() for layer in layers]
    whom = [next((who for who in reversed(told[: n + 1]) if who), "auto") for n in range(len(told))]
    for number in reversed(range(len(layers))):
        layer = layers[number]
        section = layer.get("llm", {}).get(provider, {})
        if name in section:
            return section[name]
        # Flat values belong to whoever was named then, and to nobody else from there on.
        same = len(set(whom[number:])) == 1
        mine = whom[-1] in (provider, "auto")
        if name in layer and (name not in PROVIDER_BOUND or (same and mine)):
            if whom[-1] == "auto" and name in PROVIDER_BOUND and _local(layers, whom):
                continue
            return layer[name]
    return None


def _local(layers: list[Mapping[str, Any]], whom: list[str]) -> bool:
    """Tell whether an address without a name stands: it is the local server's."""
    since = max((n + 1 for n, who in enumerate(whom) if who != "auto"), default=0)
    return any("base_url" in layer for layer in layers[since:])


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sayings=strategies.lists(_SAYINGS, min_size=len(_RANDOM), max_size=len(_RANDOM)))
def test_the_strongest_that_speaks_of_a_provider_wins(
    sayings: list[dict[str, Any]], folder: Path
) -> None:
    """For random sources, each provider gets what the strongest says of it, and no more (S2-15)."""
    _forget()
    given_ = [(BY_NAME[name], saying) for name, saying in zip(_RANDOM, sayings, strict=True)]
    settings = resolved(folder, *given_)

    for provider in PROVIDERS:
        row = default_registry().provider(provider)
        found = settings_of(row, settings)
        for name in ("model", "base_url", "temperature"):
            default = {"model": row.default_model, "base_url": row.base_url}.get(name)
            right = expected(sayings, provider, name)
            assert getattr(found, name) == (default if right is None else right), (provider, name)


@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sayings=strategies.lists(_SAYINGS, min_size=len(_RANDOM), max_size=len(_RANDOM)),
    last=strategies.sampled_from(PROVIDERS),
)
def test_switching_carries_nothing(sayings: list[dict[str, Any]], last: str, folder: Path) -> None:
    """A provider named by an argument gets no value that was set for another (S0-12, S2-15)."""
    _forget()
    sayings = [*sayings[:-1], {"provider": last}]
    given_ = [(BY_NAME[name], saying) for name, saying in zip(_RANDOM, sayings, strict=True)]
    settings = resolved(folder, *given_)
    named_before = [s["provider"].lower() for s in sayings[:-1] if "provider" in s]

    assert settings.provider == last
    if not named_before or named_before[-1] != last:
        tables = {
            s["llm"][last]["model"] for s in sayings if "model" in s.get("llm", {}).get(last, {})
        }
        assert settings.model in {None, *tables}
        assert settings.base_url is None


def test_ranks_are_told(folder: Path) -> None:
    """How strong a value's source is stands beside it, for the rule that binds keys (S2-15)."""
    settings = resolved(
        folder,
        (BY_NAME["user file"], {"model": "m"}),
        (BY_NAME["llmport.toml"], {"seed": 1}),
        (BY_NAME["environment"], {"temperature": 0.5}),
        (BY_NAME["argument"], {"max_tokens": 5}),
    )

    assert {
        name: settings.ranks[name] for name in ("model", "seed", "temperature", "max_tokens")
    } == {
        "model": Rank.USER,
        "seed": Rank.PROJECT,
        "temperature": Rank.ENVIRONMENT,
        "max_tokens": Rank.ARGUMENT,
    }
