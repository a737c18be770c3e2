"""The pages about providers say what the catalogue says."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from project_scripts import script

from llmport_magic.llm import plugins
from llmport_magic.llm.catalogue import shipped_providers
from llmport_magic.llm.registry import PROVIDER_CONFIG, connector_for, default_registry
from llmport_magic.settings import resolve

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "providers"
NAMES = [row.name for row in shipped_providers()]
HEADINGS = ["## Set", "## Supports", "## Limits", "## Sources"]


@pytest.fixture
def table() -> ModuleType:
    """Load the script that writes the table."""
    return script("provider_table")


def test_the_table_is_the_catalogue(table: ModuleType) -> None:
    """The table in the document is the one that the rows give (S4-34)."""
    assert table.written() == table.table()
    assert [line.split("`")[1] for line in table.table().splitlines()[2:]] == NAMES


def test_the_script_writes_the_table(
    table: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that is out of date is put right, and nothing else is touched (S4-34)."""
    text = table.README.read_text("utf-8")
    table.README = tmp_path / "README.md"
    table.README.write_text(text.replace("| `openai` |", "| `opened` |"), "utf-8")
    assert table.written() != table.table()

    monkeypatch.setattr("sys.argv", ["provider_table.py", "--write"])
    assert table.main() == 0

    assert table.README.read_text("utf-8") == text


@pytest.mark.parametrize("name", [*NAMES, "your-own"])
def test_every_provider_has_its_page(name: str) -> None:
    """Each page has a title and says what to set, what is supported, the limits, the sources."""
    text = (PAGES / f"{name}.md").read_text("utf-8")

    assert text.startswith("# ")
    assert [line for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    assert re.search(r"\d{4}-\d{2}-\d{2}", text.partition("## Sources")[2])


@pytest.mark.parametrize("name", NAMES)
def test_a_page_names_what_its_row_names(name: str) -> None:
    """The key variables and the default model of a row stand on its page."""
    (row,) = (row for row in shipped_providers() if row.name == name)
    text = (PAGES / f"{name}.md").read_text("utf-8")

    for variable in row.api_key_vars:
        assert variable in text
    assert row.default_model is None or row.default_model in text


@pytest.mark.parametrize("page", sorted(path.name for path in PAGES.glob("*.md")))
def test_links_and_files_of_the_pages_exist(page: str) -> None:
    """What a page links to and the files of the package that it names are there (S0-41)."""
    text = (PAGES / page).read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s#]+)\)", text) if "://" not in link]
    files = re.findall(r"`(llmport_magic/[\w./-]+)`", text)

    assert [link for link in links if not (PAGES / link).exists()] == []
    assert [file for file in files if not (ROOT / file).exists()] == []


def _blocks(page: str, language: str) -> list[str]:
    text = (PAGES / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", sorted(path.name for path in PAGES.glob("*.md")))
def test_the_examples_are_python(page: str) -> None:
    """Each example compiles, and what it imports of the package is there (S0-41)."""
    for block in _blocks(page, "python"):
        compile(block, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                assert [name.name for name in node.names if not hasattr(module, name.name)] == []


async def test_the_mock_s_example_runs() -> None:
    """What the page shows of the mock is what it does."""
    (block,) = _blocks("mock.md", "python")
    code = compile(block, "mock.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    await eval(code, {})


def test_the_recipe_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of the recipe, in order, gives providers that can be asked (S0-20)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MY_API_KEY", "planted-key-0123456789abcdef")
    (row,) = _blocks("your-own.md", "yaml")
    (tmp_path / "company.yaml").write_text(row)
    (declared,) = _blocks("your-own.md", "toml")
    default_registry.cache_clear()
    space: dict[str, object] = {"my_model": lambda prompt, key, model: f"{model}: {prompt}"}
    try:
        first, by_file, by_class = _blocks("your-own.md", "python")
        exec(first, space)
        assert PROVIDER_CONFIG["backup"]["base_url"] == "https://backup.example/v1"
        del PROVIDER_CONFIG["company"]
        exec(by_file, space)
        assert PROVIDER_CONFIG["company"]["default_model"] == "company-large"
        exec(by_class, space)
        assert connector_for(resolve(provider="my_provider")).call_llm("hi") == "my-1: hi"
    finally:
        default_registry.cache_clear()

    points = tomllib.loads(declared)["project"]["entry-points"]
    assert list(points) == [plugins.GROUP]
