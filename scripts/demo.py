"""Run the quickstart notebook in a fresh folder with the embedded model, and check what came of it.

    python scripts/demo.py [--out FOLDER]

Every answer is the model's own: the folder is new, no store and no cached answer goes along. Exits
with 1 on any outcome that is not the one that the notebook promises.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"
MODULES = ("readings", "account", "solids")
SIZE = "large"
# Each of them asks something that no example of its prompt shows.
CHECKS = {
    "readings": "assert readings.parse('a = -1;; b=2.5') == {'a': -1.0, 'b': 2.5}",
    "account": "a = account.Account('Alan'); a.deposit(5); assert a.balance == 5",
    "solids": "assert round(solids.cylinder(3, 2), 3) == 56.549; assert solids.sphere(2) > 33.5",
}
CELL_SECONDS = 3600


class DemoError(Exception):
    """Something is not as the notebook promises."""


def main() -> int:
    """Run the demo; gives the process's exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=ROOT / "demo-output", help="where runs are kept"
    )
    begun = time.monotonic()
    try:
        ensure_model()
        folder = fresh_folder(parser.parse_args().out)
        book = execute(folder)
        check_cells(book)
        versions = check_modules(folder)
        check_log(folder, versions)
    except DemoError as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 1
    tell(folder, versions, time.monotonic() - begun)
    return 0


def ensure_model() -> None:
    """Install the embedded model unless it is there, saying first what would be downloaded."""
    from llmport_magic.errors import LLMPortError
    from llmport_magic.llm import engine, weights

    if not engine.runtime_installed():
        raise DemoError("the runtime is missing: pip install 'llmport-magic[embedded]'")
    if weights.find_weights(SIZE) is None:
        print(f"Installing the embedded model. {weights.weights_for(SIZE).describe()}.")
        try:
            weights.ensure_weights(SIZE, show_download)
        except LLMPortError as error:
            raise DemoError(str(error)) from None
        print()


def show_download(progress: Any) -> None:
    """Show how far the download is, on one line."""
    share = f"{progress.done / progress.total:4.0%} " if progress.total else ""
    print(f"\r{share}{progress.text:<70}", end="", flush=True)


def fresh_folder(out: Path) -> Path:
    """Copy the notebook, and nothing else, into a folder that was not there before."""
    out.mkdir(parents=True, exist_ok=True)
    taken = [int(path.name[4:]) for path in out.glob("run-*") if path.name[4:].isdigit()]
    folder = out / f"run-{max(taken, default=0) + 1:03}"
    folder.mkdir()
    shutil.copy(NOTEBOOK, folder)
    if [path.name for path in folder.iterdir()] != [NOTEBOOK.name]:
        raise DemoError(f"{folder} is not fresh")
    return folder


# -- running -----------------------------------------------------------------------------------


def execute(folder: Path) -> Any:
    """Run the notebook in a real kernel; what the cells show is shown here as it comes."""
    import nbformat
    from nbclient.exceptions import CellExecutionError

    path = folder / NOTEBOOK.name
    book = nbformat.read(path, as_version=4)
    if any(cell.get("outputs") for cell in book.cells):
        raise DemoError("the notebook brings outputs along")
    client = watching_client(book, folder)
    try:
        client.execute(env=kernel_environment())
    except CellExecutionError as error:
        raise DemoError(f"a cell failed: {error.ename}: {error.evalue}") from None
    finally:
        nbformat.write(book, path)
    return book


def kernel_environment() -> dict[str, str]:
    """Give this environment without settings that would make it another notebook."""
    kept = ("LLMPORT_EMBEDDED_", "LLMPORT_SANDBOX_")
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LLMPORT_") or name.startswith(kept)
    }
    # A slow or busy machine takes longer, and that is no failure of the demo.
    return {**ours, "LLMPORT_BUDGET_SECONDS": "1800", "LLMPORT_TOTAL_TIMEOUT": "1800"}


def watching_client(book: Any, folder: Path) -> Any:
    """Make a client that shows displays as they grow, and inserts cells as a front end does."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell

    screen = Screen()

    class Watching(NotebookClient):
        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            """Show the text of a message, and let nbclient store it."""
            screen.show(msg["content"], msg["msg_type"])
            return super().process_message(msg, cell, cell_index)

    def started(cell: Any, cell_index: int) -> None:
        if cell.cell_type == "code":
            print(f"\n\n── cell {cell_index + 1} " + "─" * 60 + f"\n{cell.source}\n")

    def executed(cell: Any, cell_index: int, execute_reply: Any) -> None:
        for payload in execute_reply["content"].get("payload", ()):
            if payload.get("source") == "set_next_input" and not payload.get("replace"):
                book.cells.insert(cell_index + 1, new_code_cell(payload["text"]))

    return Watching(
        book,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=started,
        on_cell_executed=executed,
    )


class Screen:
    """Prints what a kernel shows; of a display that changes, only the lines that are new."""

    def __init__(self) -> None:
        self.shown = ""

    def show(self, content: Any, kind: str) -> None:
        """Print one message's text."""
        if kind == "stream":
            print(content["text"], end="", flush=True)
        elif kind == "error":
            print(f"\n{content['ename']}: {content['evalue']}")
        elif kind in ("display_data", "execute_result"):
            self.shown = content.get("data", {}).get("text/plain", "")
            print(self.shown, end="", flush=True)
        elif kind == "update_display_data":
            text = content.get("data", {}).get("text/plain", "")
            print(self.new_in(text), end="", flush=True)
            self.shown = text

    def new_in(self, text: str) -> str:
        """Give what a text has that the one before had not."""
        if text.startswith(self.shown):
            return text[len(self.shown) :]
        before = self.shown.splitlines()
        fresh = [
            line for line in text.splitlines() if line not in before and "lines above" not in line
        ]
        if not fresh:
            return ""
        # The line that was being written goes on where it stopped.
        begun = next(
            (line for line in before[-2:] if line.strip() and fresh[0].startswith(line)), ""
        )
        return ("" if begun else "\n") + "\n".join(fresh)[len(begun) :]


# -- checking ----------------------------------------------------------------------------------


def text_of(cell: Any) -> str:
    """Give everything that a cell shows, as text."""
    pieces = []
    for output in cell.get("outputs", ()):
        pieces.append(output.get("text", ""))
        pieces.append(output.get("data", {}).get("text/plain", ""))
        if output.output_type == "error":
            pieces.append(f"{output.ename}: {output.evalue}")
    return "\n".join(pieces)


def check_cells(book: Any) -> None:
    """Check what the cells show: passed, reused for nothing, and failed where it must."""
    shown = {cell.id: text_of(cell) for cell in book.cells}
    for name in (*MODULES, "update-solids"):
        expect(re.search(r"(\d) of \1 examples passed", shown[name]), f"`{name}` has no proof")
        expect("reused" not in shown[name], f"`{name}` was not asked for: it was there before")
        expect("embedded" in shown[name], f"`{name}` was answered by somebody else")
    expect("reused, 0 tokens" in shown["reused"], "the second run asked a model again")
    expect("VerificationError" in shown["impossible"], "the impossible module did not fail")
    expect("gave 4, expected 5" in shown["impossible"], "the failure does not say what came")
    expect("sphere" in shown["diff"], "the update changed nothing")
    linked = [cell for cell in book.cells if cell.source.startswith("%%llmport_module ")]
    expect(len(linked) == len(MODULES) + 1, f"{len(linked)} module cells were inserted, not 4")
    for cell in linked:
        # A module cell is the stored text: running it finds the version and changes nothing.
        expect("current" in text_of(cell), f"a module cell was not recognised: {text_of(cell)}")


def check_modules(folder: Path) -> dict[str, Any]:
    """Check the store and the files: made by the model just now, right beyond the examples."""
    from llmport_magic.modules.store import ModuleStore

    store = ModuleStore(folder)
    expect(sorted(store.names()) == sorted(MODULES), f"the store holds {store.names()}")
    expect(not (folder / "doubling.py").exists(), "a module that failed was written")
    versions = {}
    for name in MODULES:
        version = versions[name] = store.versions(name)[-1]
        expect((folder / f"{name}.py").read_text("utf-8") == version.source, f"{name}.py differs")
        expect(version.provider == "embedded", f"`{name}` is by {version.provider}")
        expect(version.usage.get("completion_tokens", 0) > 0, f"`{name}` cost no tokens")
        expect((version.verdict or {}).get("proof") == "passed", f"`{name}` has no proof")
        code = f"import {name}; {CHECKS[name]}"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
        )
        expect(done.returncode == 0, f"`{name}` is wrong beyond its examples:\n{done.stderr}")
    expect(len(store.versions("solids")) == 2, "`solids` has not two versions")
    return versions


def check_log(folder: Path, versions: dict[str, Any]) -> None:
    """Check that the log notebook holds every prompt and every answer."""
    path = folder / "llmport_log.ipynb"
    expect(path.is_file(), "there is no log notebook")
    cells = json.loads(path.read_text("utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    for name, version in versions.items():
        expect(version.prompt.splitlines()[0] in text, f"the log lacks the prompt of `{name}`")
        code = max(version.source.splitlines(), key=len).strip()
        expect(code in text, f"the log lacks the answer for `{name}`")


def expect(held: object, otherwise: str) -> None:
    """Raise `DemoError` unless something holds."""
    if not held:
        raise DemoError(otherwise)


# -- telling -----------------------------------------------------------------------------------


def tell(folder: Path, versions: dict[str, Any], seconds: float) -> None:
    """Say what was made, by whom, at what price, and where it is."""
    from llmport_magic.modules.verification import Verdict

    print("\n\n" + "═" * 72)
    for name, version in versions.items():
        usage = version.usage
        print(f"\n{name} v{version.number}\n\nprompt:\n{indented(version.prompt)}")
        print(f"\ncode:\n{indented(version.source.rstrip())}\n")
        print(f"verdict:  {Verdict.from_dict(version.verdict).line()}")
        print(f"model:    {version.provider} {version.model}")
        print(f"tokens:   {usage['prompt_tokens']} + {usage['completion_tokens']}, free")
        print(f"time:     {version.seconds:.1f} s")
        print(f"module:   {folder / (name + '.py')}")
    print(f"\nlog:      {folder / 'llmport_log.ipynb'}")
    print(f"notebook: {folder / NOTEBOOK.name}")
    print(f"\nAll as promised, in {seconds:.0f} s. Open it with the panel in the side bar:")
    # The command of this environment, which need not be on the user's path.
    lab = Path(sys.executable).with_name("jupyter")
    print(f"    {lab} lab {folder / NOTEBOOK.name}")


def indented(text: str) -> str:
    """Indent every line."""
    return "\n".join("    " + line for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main())
