"""Say how the catalogue differs from its sources, or write it anew.

    python scripts/update_catalog.py [--write]

The catalogue, `llmport_magic/llm/catalog/`, is made of two sources and of nothing else:

- the package `genai-prices`, at the version that the extra `test` names: models, prices and
  context windows;
- `scripts/catalog_overlay/`, kept by hand, a file for each provider: how it is asked, what its
  models can do, when they end, and the prices that the package lacks or has wrong.

To refresh it: set the newest version of `genai-prices` in `pyproject.toml` and install it, look
through the pages that an overlay names under `read`, put the day of that into its `checked`, and
run this with `--write`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
OVERLAYS = HERE / "catalog_overlay"
CATALOG = HERE.parent / "llmport_magic" / "llm" / "catalog"

# Ours by theirs, which are US dollars for a million tokens; ours are for a thousand.
_PRICES = {
    "input_cost_per_1k_tokens": "input_mtok",
    "output_cost_per_1k_tokens": "output_mtok",
    "cached_input_cost_per_1k_tokens": "cache_read_mtok",
    "cache_write_cost_per_1k_tokens": "cache_write_mtok",
}
_HEAD = """\
# Made by scripts/update_catalog.py out of {sources}:
# change those, not this file. It is JSON, which is YAML as well and quicker to read.
"""


@dataclass(frozen=True)
class Disagreement:
    """A price of the overlay that the package has, too, and another one."""

    model: str
    field: str
    ours: Decimal
    theirs: Decimal
    because: str

    def __str__(self) -> str:
        return f"{self.model}: {self.field} {self.ours}, not {self.theirs}: {self.because}"


@dataclass(frozen=True)
class Made:
    """One file of the catalogue, and what was decided on the way."""

    name: str
    text: str
    models: int
    left_out: Mapping[str, str]
    disagreements: tuple[Disagreement, ...]


def overlays() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Read what is kept by hand, by provider."""
    for path in sorted(OVERLAYS.glob("*.yaml")):
        yield path.stem, yaml.safe_load(path.read_text("utf-8"))


def listed_models() -> dict[str, dict[str, Any]]:
    """Give what the package lists: its models by provider and name."""
    from genai_prices.data import providers

    return {each.id: {model.id: model for model in each.models} for each in providers}


def version() -> str:
    """Name the package and the version of it that is installed."""
    from importlib.metadata import version as installed

    return f"genai-prices {installed('genai-prices')}"


def make(
    name: str, overlay: Mapping[str, Any], listed: Mapping[str, Any], package: str = ""
) -> Made:
    """Make one file of the catalogue.

    Args:
        name: of the provider.
        overlay: what is kept by hand.
        listed: the package's models of that provider, by name.
        package: its name and version, for the head of the file.

    Raises:
        ValueError: the overlay says what the package says already, or another price without its
            reason, or a retirement without its replacement.
    """
    checked = overlay["checked"]
    ours = {model: fields or {} for model, fields in (overlay.get("models") or {}).items()}
    names = {alias for fields in ours.values() for alias in fields.get("aliases", ())} | set(ours)
    left_out = {
        model: why for model in listed if (why := _why_not(model, listed[model], checked, overlay))
    }
    further = sorted(model for model in listed if model not in names and model not in left_out)
    disagreements: list[Disagreement] = []
    rows: dict[str, Any] = {}
    for model in (*ours, *further):
        fields = ours.get(model, {})
        entry = _entry(model, fields.get("aliases", ()), listed)
        known = {} if entry is None else _told(entry, checked)
        disagreements += _compare(model, fields, known)
        rows[model] = _row(model, fields, known, overlay)
    order = sorted(rows, key=lambda model: "retired_on" in rows[model])
    sources = f"scripts/catalog_overlay/{name}.yaml"
    text = _HEAD.format(sources=f"{package} and\n# {sources}" if listed else sources)
    text += "".join(f"# Read {checked}: {page}\n" for page in overlay.get("read") or ())
    text += _written(overlay, {model: rows[model] for model in order})
    return Made(f"{name}.yaml", text, len(rows), left_out, tuple(disagreements))


def catalog() -> list[Made]:
    """Make the whole catalogue."""
    listed, package = listed_models(), version()
    return [
        make(name, overlay, listed.get(overlay.get("listed_as", ""), {}), package)
        for name, overlay in overlays()
    ]


def _entry(model: str, aliases: Iterable[str], listed: Mapping[str, Any]) -> Any:
    """Find what the package has of a model: by its name, else by another name of it."""
    return next((listed[name] for name in (model, *aliases) if name in listed), None)


def _why_not(model: str, entry: Any, checked: date, overlay: Mapping[str, Any]) -> str | None:
    """Say why a model that the package lists cannot be asked here, or `None`."""
    if not fnmatchcase(model, overlay.get("names", "*")):
        return "not a name that this API knows"
    for pattern, why in (overlay.get("left_out") or {}).items():
        if fnmatchcase(model, pattern):
            return str(why)
    prices = vars(_prices(entry, checked))
    if any(prices.values()) and prices.get("output_mtok") is None:
        return "what it gives has no price: embeddings, a classification or speech"
    return None


def _prices(entry: Any, checked: date) -> Any:
    """Give the prices of a model; where they depend on the hour or will change, the dearest.

    So a cost is never told too low: a discount ends, and the dearer hours are part of each day.
    """
    if not isinstance(entry.prices, list):
        return entry.prices
    possible: list[Any] = []
    for each in entry.prices:
        begins = getattr(each.constraint, "start_date", None)
        if each.constraint is None or (begins is not None and begins <= checked):
            possible = [each.prices]  # it takes the place of what was before
        else:
            possible.append(each.prices)
    return max(possible, key=lambda prices: [_base(prices.input_mtok), _base(prices.output_mtok)])


def _base(price: Any) -> Decimal:
    return Decimal(0) if price is None else getattr(price, "base", price)


def _told(entry: Any, checked: date) -> dict[str, Any]:
    """Read what the package knows of a model, in the words of the catalogue."""
    known: dict[str, Any] = {}
    if entry.context_window:
        known["max_context_window"] = entry.context_window
    prices = _prices(entry, checked)
    dearer_from: list[int] = []
    for field, theirs in _PRICES.items():
        price = getattr(prices, theirs)
        if price is not None:
            known[field] = _base(price) / 1000
            dearer_from += [tier.start for tier in getattr(price, "tiers", ())]
    if dearer_from:
        known["priced_prompt_tokens"] = min(dearer_from)
    return known


def _compare(
    model: str, fields: Mapping[str, Any], known: Mapping[str, Any]
) -> Iterator[Disagreement]:
    """Find the prices of the overlay that the package has, too."""
    mine = fields.get("capabilities") or {}
    for field in (*_PRICES, "priced_prompt_tokens"):
        if mine.get(field) is None or field not in known:
            continue
        price = _decimal(mine[field])
        if price == known[field]:
            raise ValueError(f"{model}: the price source says `{field}` as well: take it out")
        if not fields.get("because"):
            raise ValueError(
                f"{model}: `{field}` is {known[field]} in the price source, not {price}: say why "
                "under `because`, with the page and the day, or take it out"
            )
        yield Disagreement(model, field, price, known[field], fields["because"])


def _row(
    model: str, fields: Mapping[str, Any], known: Mapping[str, Any], overlay: Mapping[str, Any]
) -> dict[str, Any]:
    """Put together what is known of one model: the package's, then groups, then its own."""
    row: dict[str, Any] = {}
    capabilities = dict(known)
    groups = overlay.get("groups") or {}
    for each in (*(g for pattern, g in groups.items() if fnmatchcase(model, pattern)), fields):
        given = dict(each)
        given.pop("because", None)
        capabilities |= given.pop("capabilities", None) or {}
        row |= given
    if ("retired_on" in row) != ("replacement" in row):
        raise ValueError(f"{model}: a model that ends needs both `retired_on` and `replacement`")
    # `null` in the overlay: what the package says is not so, and nothing better is known.
    found = {field: value for field, value in capabilities.items() if value is not None}
    return row | {"capabilities": dict(sorted(found.items(), key=_place))}


def _place(field: tuple[str, Any]) -> tuple[bool, bool]:
    """Put sizes first, then what a model can do, then the prices."""
    return field[0] in _PRICES or field[0] == "priced_prompt_tokens", not field[0].startswith("max")


def _decimal(value: float | Decimal) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(repr(value))


def _json(value: Any) -> str:
    """Write a value as JSON that YAML reads alike: no exponents in numbers."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{json.dumps(str(k))}: {_json(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_json, value))}]"
    if isinstance(value, date):
        return json.dumps(value.isoformat())
    if isinstance(value, (float, Decimal)):
        text = f"{_decimal(value):f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return json.dumps(value, ensure_ascii=False)


def _written(overlay: Mapping[str, Any], rows: Mapping[str, Any]) -> str:
    """Write a file: a line for each field and for each model."""
    lines = _lines(overlay["provider"])
    models = ",\n".join(f"    {json.dumps(name)}: {_json(row)}" for name, row in rows.items())
    if models:
        lines.append(f'  "models": {{\n{models}\n  }}')
    text = '{"provider": {\n' + ",\n".join(lines) + "\n}"
    if "cloud_run_friendly" in overlay:
        lists = ",\n".join(_lines(overlay["cloud_run_friendly"]))
        text += f',\n"cloud_run_friendly": {{\n{lists}\n}}'
    return text + "}\n"


def _lines(fields: Mapping[str, Any]) -> list[str]:
    return [f"  {json.dumps(field)}: {_json(value)}" for field, value in fields.items()]


def main() -> int:
    """Run the script; gives the process's exit code: 1 where the files are not up to date."""
    stale = []
    for made in catalog():
        path = CATALOG / made.name
        if not path.exists() or path.read_text("utf-8") != made.text:
            stale.append(made.name)
            if "--write" in sys.argv[1:]:
                path.write_text(made.text, "utf-8")
        print(f"{made.name}: {made.models} models, {len(made.left_out)} left out")
        for each in made.disagreements:
            print(f"  {each}")
        for model, why in made.left_out.items():
            print(f"  without {model}: {why}")
    print(f"differ: {', '.join(stale)}" if stale else "the catalogue is up to date")
    return 1 if stale and "--write" not in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
