"""The catalogue is what its sources say: made again byte for byte, whole, and not too old."""

from __future__ import annotations

import json
import sys
import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from project_scripts import script

from llmport_magic.llm import catalogue
from llmport_magic.llm.capabilities import LLMCapabilities, Provider
from llmport_magic.llm.catalogue import shipped_providers
from llmport_magic.llm.registry import LLMRegistry

ROOT = Path(__file__).resolve().parents[1]
CATALOG = ROOT / "llmport_magic" / "llm" / "catalog"
MOST_DAYS = 120
TODAY = date(2026, 11, 21)
SCRIPT = script("update_catalog")
OVERLAYS = dict(SCRIPT.overlays())
ROWS = {row.name: row for row in shipped_providers()}
LISTED = {name: ours["listed_as"] for name, ours in OVERLAYS.items() if "listed_as" in ours}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """Make the catalogue anew; the package of prices is in the extra `test`."""
    pytest.importorskip("genai_prices")
    return {each.name: each for each in SCRIPT.catalog()}


@pytest.fixture(scope="module")
def listed() -> dict[str, dict[str, Any]]:
    """Give the models of the package of prices."""
    pytest.importorskip("genai_prices")
    return SCRIPT.listed_models()


# What is shipped


def test_the_files_are_what_the_sources_give(made: dict[str, Any]) -> None:
    """The pinned prices and the overlay give every shipped file, byte for byte (S1-11)."""
    shipped = {path.name: path.read_text("utf-8") for path in CATALOG.glob("*.yaml")}

    assert {name: each.text for name, each in made.items()} == shipped


def test_the_package_of_prices_is_pinned() -> None:
    """The extra `test` names one version of it, and that is the one that is installed."""
    pytest.importorskip("genai_prices")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert SCRIPT.version().replace(" ", "==") in project["optional-dependencies"]["test"]


@pytest.mark.parametrize("name", sorted(OVERLAYS))
def test_a_file_is_json_and_yaml(name: str) -> None:
    """What the package reads as JSON, a reader of YAML reads alike."""
    text = (CATALOG / f"{name}.yaml").read_text("utf-8")

    assert yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) == json.loads(
        text[text.index("{") :]
    )


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_model_loads(row: Provider) -> None:
    """Every model of every row is a profile, and the first one is the row's default (S1-11)."""
    for name, profile in row.models.items():
        assert (profile.name, profile.provider) == (name, row.name)
        assert isinstance(profile.capabilities, LLMCapabilities)
    if row.default_model:
        assert next(iter(row.models)) == row.default_model


@pytest.mark.parametrize("name", sorted(LISTED))
def test_no_listed_model_is_forgotten(
    name: str, listed: dict[str, dict[str, Any]], made: dict[str, Any]
) -> None:
    """What the source lists is there under its name or another, or is left out for a reason."""
    registry, left_out = LLMRegistry.create_default(), made[f"{name}.yaml"].left_out
    models = listed[LISTED[name]]

    missing = [
        model
        for model in models
        if model not in left_out and registry.find_model(model, name) is None
    ]

    assert missing == []
    assert all(left_out.values())
    assert len(models) > len(left_out) > 0


# Current models whose sizes no page of the vendor is known to tell; the list may only get shorter.
UNSIZED = {
    "openai": {
        "gpt-chat-latest",
        "gpt-6-cyber",
        "gpt-5.6-cyber",
        "gpt-5.5-cyber",
        "gpt-6-rosalind",
        "gpt-rosalind-discovery",
        "gpt-rosalind-research",
        "gpt-5-search-api",
    },
    "anthropic": set(),
    "gemini": {"gemma-4-31b-it", "gemma-4-26b-a4b-it"},
    "groq": {"qwen/qwen3.8-27b"},
    "deepseek": set(),
}


@pytest.mark.parametrize("name", sorted(UNSIZED))
def test_current_models_have_sizes_and_prices(name: str) -> None:
    """A vendor's current models have a window, a longest answer and a price, as listed (S1-11)."""
    current = [p for p in ROWS[name].models.values() if p.retired_on is None]
    unsized = {
        p.name
        for p in current
        if not (p.capabilities.max_context_window and p.capabilities.max_output_tokens)
    }
    unpriced = {p.name for p in current if p.capabilities.output_cost_per_1k_tokens is None}

    assert unsized == UNSIZED[name]
    assert unpriced <= {"gemma-4-31b-it", "gemma-4-26b-a4b-it"}
    assert len(current) > 1


@pytest.mark.parametrize("name", sorted(LISTED))
def test_nothing_is_free_that_the_source_does_not_say_is_free(
    name: str, listed: dict[str, dict[str, Any]]
) -> None:
    """An unknown price stays unknown: no model has one that nobody says, 0 neither (S4-28)."""
    models, unknown = listed[LISTED[name]], 0
    for profile in ROWS[name].models.values():
        known = profile.capabilities
        prices = (known.input_cost_per_1k_tokens, known.output_cost_per_1k_tokens)
        entry = next((models[n] for n in (profile.name, *profile.aliases) if n in models), None)
        said = None if entry is None else SCRIPT._prices(entry, TODAY).input_mtok
        ours = (OVERLAYS[name]["models"].get(profile.name) or {}).get("capabilities") or {}
        if said is None and ours.get("input_cost_per_1k_tokens") is None:
            unknown += 1
            assert prices == (None, None)
        assert 0 not in prices or said == 0
    assert unknown or name not in {"openrouter", "groq"}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_model_that_ends_says_when_and_what_next(row: Provider) -> None:
    """A retired model has its day, its page, and a replacement that has not ended (S1-15)."""
    ending = [profile for profile in row.models.values() if profile.retired_on]
    for profile in ending:
        assert date.fromisoformat(str(profile.retired_on)) > date(2023, 1, 1)
        replacement = row.models[str(profile.replacement)]
        assert replacement.retired_on is None or replacement.retired_on > str(TODAY)
    assert not ending or any(
        "deprecat" in page or "the end of" in page for page in OVERLAYS[row.name]["read"]
    )


@pytest.mark.parametrize("name", sorted(OVERLAYS))
def test_the_overlay_was_looked_through_lately(name: str) -> None:
    """What is kept by hand is not older than four months."""
    age = (datetime.now(UTC).date() - OVERLAYS[name]["checked"]).days

    assert age >= -1, "`checked` is in the future"
    assert age <= MOST_DAYS, (
        f"scripts/catalog_overlay/{name}.yaml was checked {age} days ago: install the newest "
        "`genai-prices` and pin it in pyproject.toml, look through the pages under `read`, set "
        "`checked`, and run `python scripts/update_catalog.py --write`"
    )


def test_reading_makes_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of hundreds of models none is made when the catalogue is read, and no YAML is."""

    def refuse(*_: object) -> None:
        raise AssertionError("nobody has asked for a model")

    monkeypatch.setattr(catalogue, "profile_from", refuse)
    monkeypatch.setitem(sys.modules, "yaml", None)

    (row,) = (row for row in shipped_providers() if row.name == "openrouter")
    assert len(row.models) > 500


# How it is made


def _entry(prices: Any, window: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(prices=prices, context_window=window)


def _prices(given: Any, output: Any, **more: Any) -> SimpleNamespace:
    told = {"input_mtok": given, "output_mtok": output, "cache_read_mtok": None}
    numbers = {
        k: Decimal(str(v)) if isinstance(v, (int, float)) else v for k, v in (told | more).items()
    }
    return SimpleNamespace(**{"cache_write_mtok": None, **numbers})


def _made(models: dict[str, Any], listed: dict[str, Any], **more: Any) -> dict[str, Any]:
    overlay = {"checked": TODAY, "provider": {"name": "x"}, "models": models, **more}
    made = SCRIPT.make("x", overlay, listed, "prices 1")
    return json.loads(made.text[made.text.index("{") :])["provider"]["models"]


def test_a_price_that_depends_on_time_is_the_dearest() -> None:
    """Of discounts, hours and changes to come the dearest counts, of what is past nothing does."""
    when = SimpleNamespace
    past, ahead = when(start_date=date(2026, 1, 1)), when(start_date=date(2027, 1, 1))
    prices = [
        when(constraint=None, prices=_prices(90, 90)),
        when(constraint=past, prices=_prices(1, 2)),
        when(constraint=when(start_time=1), prices=_prices(3, 4)),
        when(constraint=ahead, prices=_prices(2, 9)),
    ]

    assert _made({}, {"m": _entry(prices)})["m"]["capabilities"] == {
        "input_cost_per_1k_tokens": 0.003,
        "output_cost_per_1k_tokens": 0.004,
    }


def test_prices_hold_up_to_where_they_change() -> None:
    """Above the first threshold the price is another one, which the row says."""
    tiers = [SimpleNamespace(start=200_000, price=Decimal(9))]
    tiered = SimpleNamespace(base=Decimal(1), tiers=tiers)

    (row,) = _made({}, {"m": _entry(_prices(tiered, 5), 10**6)}).values()

    assert row["capabilities"]["priced_prompt_tokens"] == 200_000
    assert row["capabilities"]["input_cost_per_1k_tokens"] == 0.001
    assert row["capabilities"]["max_context_window"] == 1_000_000


def test_what_is_unknown_is_not_written() -> None:
    """A model without a price has none; `null` takes away what the source has wrong."""
    listed = {"m": _entry(_prices(None, None), 8), "n": _entry(_prices(1, 2), 8)}
    ours = {"n": {"capabilities": {"max_context_window": None, "output_cost_per_1k_tokens": None}}}

    assert _made(ours, listed) == {
        "n": {"capabilities": {"input_cost_per_1k_tokens": 0.001}},
        "m": {"capabilities": {"max_context_window": 8}},
    }


def test_what_ends_comes_last_and_groups_come_first() -> None:
    """The order is the overlay's, then the alphabet's, and what ends stands below."""
    listed = {name: _entry(_prices(1, 2)) for name in ("b", "a", "old", "mine", "speech")}
    listed["index"] = _entry(_prices(1, None))
    ours = {"old": {"retired_on": date(2026, 1, 1), "replacement": "mine"}, "mine": None}
    groups = {"*": {"family": "gpt"}, "mi*": {"family": "llama", "capabilities": {"vision": True}}}

    made = _made(ours, listed, groups=groups, left_out={"spee*": "speaks"})

    assert list(made) == ["mine", "a", "b", "old"]
    assert (made["a"]["family"], made["mine"]["family"]) == ("gpt", "llama")
    assert made["mine"]["capabilities"]["vision"]
    assert made["old"]["retired_on"] == "2026-01-01"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"capabilities": {"input_cost_per_1k_tokens": 0.002}}, "say why"),
        ({"capabilities": {"input_cost_per_1k_tokens": 0.001}}, "take it out"),
        ({"retired_on": date(2026, 1, 1)}, "replacement"),
        ({"replacement": "n"}, "retired_on"),
    ],
)
def test_the_overlay_says_only_what_it_must(fields: dict[str, Any], says: str) -> None:
    """A second word on a price needs its reason, a repeated one has no place, an end is whole."""
    with pytest.raises(ValueError, match=says):
        _made({"m": fields}, {"m": _entry(_prices(1, 2))})


def test_a_price_with_its_reason_wins() -> None:
    """Where the overlay says why, its price is taken, and the script tells of it."""
    fields = {"because": "https://x 2026-11-21", "capabilities": {"output_cost_per_1k_tokens": 1}}
    overlay = {"checked": TODAY, "provider": {"name": "x"}, "models": {"m": fields}}

    made = SCRIPT.make("x", overlay, {"m": _entry(_prices(1, 2))})

    assert '"output_cost_per_1k_tokens": 1}' in made.text
    assert "because" not in made.text
    (told,) = made.disagreements
    assert str(told) == "m: output_cost_per_1k_tokens 1, not 0.002: https://x 2026-11-21"
