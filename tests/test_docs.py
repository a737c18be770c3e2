"""The documents name only what exists, and there is one version."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from project_scripts import script

import llmport_magic
from llmport_magic.settings import setting_names

ROOT = Path(__file__).resolve().parents[1]
PAGES = tuple(sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
DOCUMENTS = ("llms.txt", "README.md", "CONTRIBUTING.md", *PAGES)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s#]+)\)")
_PATH = re.compile(r"\.?[\w.-]+(/[\w.-]+)*/?")
_DOTTED = re.compile(r"llmport_magic(\.\w+)+")


def _text(document: str) -> str:
    """Give a document without its fenced blocks, which show commands and drawings."""
    text = (ROOT / document).read_text("utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _code(document: str) -> list[str]:
    """Give what a document has in backticks."""
    return _CODE.findall(_text(document))


def _paths(document: str) -> set[str]:
    # What lies beside a user's notebook, and what a benchmark writes, is not here.
    names = [
        name
        for name in _code(document)
        if not name.startswith((".llmport", ".benchmarks", "data/"))
    ]
    written = {ROOT / name for name in names if _PATH.fullmatch(name) and "/" in name}
    links = {name for name in _LINK.findall(_text(document)) if "://" not in name}
    return {str(path) for path in written} | {
        str(((ROOT / document).parent / name).resolve()) for name in links
    }


def _names(document: str) -> set[str]:
    return {
        word for word in _code(document) if _DOTTED.fullmatch(word) and not word.endswith(".py")
    }


def _resolve(dotted: str) -> object:
    head, *rest = dotted.split(".")
    found: object = importlib.import_module(head)
    for part in rest:
        try:
            found = getattr(found, part)
        except AttributeError:
            found = importlib.import_module(f"{found.__name__}.{part}")  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_in_documents_exist(document: str) -> None:
    """Every path that a document names is there (S0-41)."""
    short = ROOT / "llmport_magic"
    missing = [
        path
        for path in sorted(_paths(document))
        if not Path(path).exists() and not (short / Path(path).relative_to(ROOT)).exists()
    ]

    assert missing == []


@pytest.mark.parametrize("document", ["llms.txt", "docs/architecture.md"])
def test_names_in_documents_exist(document: str) -> None:
    """Every dotted name that a document gives can be imported (S0-41)."""
    names = _names(document)

    assert names
    for name in sorted(names):
        assert _resolve(name) is not None, name


def test_the_search_finds_paths_and_names() -> None:
    """The tests above look at what they are meant to look at (S0-41)."""
    assert str(ROOT / "llmport_magic" / "pipeline.py") in _paths("docs/architecture.md")
    assert str(ROOT / "README.md") in _paths("llms.txt")
    assert "llmport_magic.update" in _names("llms.txt")
    with pytest.raises(ImportError):
        _resolve("llmport_magic.pipeline.no_such_step")


def test_every_file_of_the_package_has_its_place() -> None:
    """The architecture names each file as a path, so that a stranger finds its step (S0-41)."""
    package = ROOT / "llmport_magic"
    files = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    named = {name.removeprefix("llmport_magic/") for name in _code("docs/architecture.md")}

    # A package's `__init__.py` stands for its folder; of the dialects the folder is named.
    assert "llm/dialects/" in named
    assert [
        name
        for name in sorted(files - named)
        if not name.endswith("__init__.py") and not name.startswith("llm/dialects/")
    ] == []


def test_every_page_can_be_found() -> None:
    """`llms.txt` leads to every page of the documentation."""
    assert PAGES
    assert [page for page in PAGES if str(ROOT / page) not in _paths("llms.txt")] == []


def test_every_setting_is_documented() -> None:
    """The table of `docs/settings.md` is what the settings say of themselves."""
    table = script("settings_table")
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")

    assert table.page(text) == text
    assert [line.split("`")[1] for line in table.table().splitlines()[2:]] == list(setting_names())


def test_there_is_one_version() -> None:
    """Package metadata, `__version__`, package.json and changelog agree."""
    stated = json.loads((ROOT / "package.json").read_text("utf-8"))["version"]

    assert stated == version("llmport-magic") == llmport_magic.__version__
    assert stated in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_public_names_can_be_imported() -> None:
    """Everything in `__all__` of the package and of `llm` is there."""
    for package in ("llmport_magic", "llmport_magic.llm"):
        module = importlib.import_module(package)
        for name in module.__all__:
            assert getattr(module, name) is not None
