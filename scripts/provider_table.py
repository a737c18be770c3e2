"""Print the table of providers in `docs/providers/README.md`, or put it there anew.

    python scripts/provider_table.py [--write]

The rows are those of the catalogue, `llmport_magic/llm/catalog/`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from llmport_magic.llm.capabilities import LLMCapabilities, Provider
from llmport_magic.llm.catalogue import shipped_providers

README = Path(__file__).resolve().parent.parent / "docs" / "providers" / "README.md"
_TABLE = re.compile(r"(?<=<!-- the table of providers -->\n).*?(?=<!-- its end -->)", re.DOTALL)
_HEAD = ("provider", "name", "base URL", "default model", "it has", "key")


def table() -> str:
    """Write the table, a line for each row of the catalogue in the order of `auto`."""
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_cells, shipped_providers())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(row: Provider) -> tuple[str, ...]:
    profile = row.models.get(row.default_model or "")
    return (
        f"[{row.title}]({row.name}.md)",
        f"`{row.name}`",
        f"`{row.base_url}`" if row.base_url else "none",
        f"`{row.default_model}`" if row.default_model else "what is there",
        _abilities(profile.capabilities) if profile else "",
        " or ".join(f"`{name}`" for name in row.api_key_vars) or "none",
    )


def _abilities(known: LLMCapabilities) -> str:
    named = {
        "tools": known.tools,
        "pictures": known.vision,
        "JSON": known.json_mode,
        "reasoning": known.reasoning,
    }
    return ", ".join(name for name, there in named.items() if there)


def written() -> str:
    """Give the table that the document has."""
    found = _TABLE.search(README.read_text("utf-8"))
    return found[0] if found else ""


def main() -> int:
    """Run the script; gives the process's exit code."""
    if "--write" in sys.argv[1:]:
        README.write_text(_TABLE.sub(lambda _: table(), README.read_text("utf-8")), "utf-8")
    else:
        print(table(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
