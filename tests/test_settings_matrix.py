"""Every source of settings against every other: the stronger wins, and says where it stands."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import settings_sources
from settings_sources import (
    BY_NAME,
    OWN_NAME,
    SOURCES,
    VALUES,
    Source,
    check_source,
    named,
    of_groq,
    resolved,
    wanted,
)

from llmport_magic.llm.provider_settings import settings_of
from llmport_magic.llm.registry import default_registry
from llmport_magic.settings import Rank, configure, resolve

pytestmark = pytest.mark.usefixtures("own_registry")

folder = settings_sources.folder


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


def test_a_file_that_changes_is_read_again(folder: Path) -> None:
    """A named file that is written anew counts with the next call, however fast (S0-14)."""
    path = folder / "mine.toml"
    for number in range(30):
        path.write_text(f"seed = {number:04}\n".replace("= 00", "= 1"), "utf-8")
        assert resolve(config=path).seed == int(f"1{number:02}")


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
