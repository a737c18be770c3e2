"""One JupyterLab server for all the tests, a Chromium for a module, a page for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from lab import EXTENSION, Lab, Model, new_page, running_chromium, running_lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start one server with the extension of this repository."""
    if not (EXTENSION / "package.json").is_file():
        pytest.skip("the panel is not built: run `npm ci && npm run build:prod`")
    with running_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Start a Chromium; while it runs its loop is the thread's, so not beyond the module."""
    pytest.importorskip("playwright.sync_api")
    if not (shutil.which("chromium") or shutil.which("chromium-browser")):
        pytest.skip("no `chromium` on the path")
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """Give a page with storage of its own."""
    with new_page(chromium) as opened:
        yield opened


@pytest.fixture
def model() -> Iterator[Model]:
    """Start a model on loopback."""
    with Model() as model:
        yield model
