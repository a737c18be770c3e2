"""Write the table of `docs/settings.md` from the settings' own docstring.

    python scripts/settings_table.py

A test fails when the table is not what this writes.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

from llmport_magic.settings import Settings, setting_names

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
_HEAD = "| setting | default | what it is |\n| --- | --- | --- |\n"
_TABLE = re.compile(re.escape(_HEAD) + r"(?:\|.*\n)*")


def table() -> str:
    """Give the table: every setting in its order, its default, and what it is."""
    described = dict(_described())
    defaults = {f.name: f.default for f in fields(Settings)}
    rows = []
    for name in setting_names():
        default = defaults[name]
        shown = f"`{default}`" if isinstance(default, (str, int, float)) else ""
        rows.append(f"| `{name}` | {shown} | {described[name]} |\n")
    return _HEAD + "".join(rows)


def page(text: str) -> str:
    """Give the page with the table in its place."""
    return _TABLE.sub(lambda _: table(), text, count=1)


def _described() -> list[tuple[str, str]]:
    # Since Python 3.13 a docstring comes without what it is indented by.
    lines = (inspect.getdoc(Settings) or "").partition("Attributes:")[2]
    parts = re.findall(r"^ {4}(\w+): ((?:.|\n {8})+)", lines, flags=re.MULTILINE)
    return [(name, " ".join(text.split()).rstrip(".")) for name, text in parts]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
