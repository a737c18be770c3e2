"""A real JupyterLab server on loopback with folders of its own, a Chromium, and a model to ask."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from awaiting import PATIENCE
from loopback import HANG, USAGE, Loopback, Request, Script, raw, streamed

REPOSITORY = Path(__file__).resolve().parents[1]
EXTENSION = REPOSITORY / "llmport_magic" / "labextension"
# A page, a server and its kernels start one after the other.
_PATIENCE = 2 * PATIENCE
TOKEN = "for-tests-on-loopback-only"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LAB_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    }
}
# A kernel that says, as older ones do, that it has no subshells.
OLDER = """
from ipykernel.kernelbase import Kernel
from ipykernel.kernelapp import launch_new_instance

whole = Kernel.kernel_info.fget
Kernel.kernel_info = property(lambda self: whole(self) | {"supported_features": []})
launch_new_instance()
"""


@dataclass(frozen=True, slots=True)
class Lab:
    """A running server.

    Attributes:
        url: where it listens.
        folder: the folder that it serves.
        config: its configuration folder.
    """

    url: str
    folder: Path
    config: Path

    def write(self, name: str, sources: Sequence[str], *, kernel: str = "python3") -> Path:
        """Write a notebook of code cells in a folder of its own."""
        folder = self.folder / name
        folder.mkdir()
        cells = [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "metadata": {},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for number, source in enumerate(sources)
        ]
        path = folder / "work.ipynb"
        content = {
            "cells": cells,
            "metadata": {"kernelspec": {"name": kernel, "display_name": kernel}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    def address(self, notebook: Path, *, interface: str = "lab/tree") -> str:
        """Give the address of a notebook in JupyterLab or Notebook 7."""
        path = notebook.relative_to(self.folder).as_posix()
        reset = "&reset" if interface.startswith("lab") else ""
        return f"{self.url}/{interface}/{path}?token={TOKEN}{reset}"

    @contextmanager
    def setting(self, package: str, plugin: str, **values: object) -> Iterator[None]:
        """Set what a user can set in JupyterLab, for the pages that are loaded meanwhile."""
        folder = self.config / "lab" / "user-settings" / "@jupyterlab" / package
        folder.mkdir(parents=True, exist_ok=True)
        settings = folder / f"{plugin}.jupyterlab-settings"
        settings.write_text(json.dumps(values), encoding="utf-8")
        yield
        settings.unlink()


def _environment(home: Path, runtime: str) -> dict[str, str]:
    """Give the server's environment: nothing of the user's settings, keys or extensions."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": runtime,
        "IPYTHONDIR": str(home / "ipython"),
        "XDG_CONFIG_HOME": str(home / "xdg"),
        "PYTHONPATH": str(REPOSITORY),
        "LLMPORT_SANDBOX_SECONDS": str(PATIENCE),
    }


def _address(server: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Wait for the server, and give the address that it took."""
    place = runtime / f"jpserver-{server.pid}.json"
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            url = f"http://127.0.0.1:{json.loads(place.read_text(encoding='utf-8'))['port']}"
            with urllib.request.urlopen(f"{url}/api/status?token={TOKEN}", timeout=20):
                return url
        except (OSError, ValueError):
            time.sleep(0.2)
    raise AssertionError(f"the server did not start:\n{log.read_text(encoding='utf-8')[-4000:]}")


@contextmanager
def running_lab(home: Path) -> Iterator[Lab]:
    """Start a server with the extension of this repository, whose folders are all in `home`."""
    overrides = home / "config" / "labconfig" / "default_setting_overrides.json"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(json.dumps(LAB_SETTINGS), encoding="utf-8")
    older = home / "data" / "kernels" / "older" / "kernel.json"
    older.parent.mkdir(parents=True)
    spec = {"argv": [sys.executable, "-c", OLDER, "-f", "{connection_file}"]}
    # No notebook gets it that does not name it: JupyterLab also looks for a kernel by language.
    spec |= {"display_name": "older", "language": "older"}
    older.write_text(json.dumps(spec), encoding="utf-8")
    extensions = home / "extensions"
    extensions.mkdir()
    (extensions / "llmport-magic").symlink_to(EXTENSION, target_is_directory=True)
    folder = home / "work"
    folder.mkdir()
    # The kernels' sockets are files in here: a path of a socket has about a hundred characters.
    runtime = tempfile.mkdtemp(prefix="lab-")
    log = home / "server.log"
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser"),
        *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--ServerApp.allow_root=True"),
        f"--KernelManager.transport={'tcp' if sys.platform == 'win32' else 'ipc'}",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.extra_labextensions_path={extensions}",
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, env=_environment(home, runtime), stdout=output, stderr=output, cwd=folder
        )
    try:
        url = _address(server, Path(runtime), log)
        yield Lab(url=url, folder=folder, config=home / "config")
    finally:
        server.terminate()
        try:
            server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(runtime, ignore_errors=True)


@contextmanager
def running_chromium() -> Iterator[Any]:
    """Start the Chromium of this machine."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=FLAGS, timeout=1000 * _PATIENCE
        )
        yield browser
        browser.close()


@contextmanager
def new_page(browser: Any) -> Iterator[Any]:
    """Give a page with storage of its own."""
    context = browser.new_context(viewport={"width": 1360, "height": 860})
    context.set_default_timeout(1000 * _PATIENCE)
    yield context.new_page()
    context.close()


class Model(Loopback):
    """A model on loopback that streams its answers in turn, then `answer` to everybody who asks.

    One that `hangs` says all of its answer, and never that this was the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answer = ""
        self.answers: list[str] = []
        self.hangs = False
        self.usage = USAGE
        self.always(self._script)

    @property
    def prompts(self) -> list[Request]:
        """The requests for an answer."""
        return [request for request in self.requests if request.method == "POST"]

    def _script(self, request: Request) -> Script:
        if request.method == "GET":
            return raw(json.dumps({"object": "list", "data": [{"id": "loopback-1"}]}))
        answer = self.answers.pop(0) if self.answers else self.answer
        pieces = [answer[i : i + 8] for i in range(0, len(answer), 8)]
        steps = (step for piece in pieces for step in (0.005, piece))
        end = (HANG,) if self.hangs else ()
        return streamed(*steps, *end, usage=self.usage)
