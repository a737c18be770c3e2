"""What loading adds to a real IPython shell, and what unloading leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from awaiting import PATIENCE

HEAVY = {
    "anyio",
    "asyncssh",
    "httpcore",
    "httpx",
    "ipywidgets",
    "keyring",
    "llama_cpp",
    "matplotlib",
    "msgspec",
    "nbformat",
    "numpy",
    "opentelemetry",
    "pandas",
    "platformdirs",
    "pydantic",
    "tomllib",
    "xllamacpp",
    "yaml",
}

SHELL = """
import contextlib, io, json, os, sys, threading
import ipykernel.ipkernel, ipykernel.zmqshell
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
with contextlib.redirect_stdout(io.StringIO()):  # IPython loads its own magics on first use
    shell.run_cell("%who_ls")
    shell.run_line_magic("unload_ext", "json")

def state():
    hooks = getattr(shell, "strdispatchers", {}).get("complete_command")
    events = shell.events.callbacks
    return {
        "line magics": sorted(shell.magics_manager.magics["line"]),
        "cell magics": sorted(shell.magics_manager.magics["cell"]),
        "magic classes": sorted(shell.magics_manager.registry),
        "cleanup": [str(t) for t in shell.input_transformer_manager.cleanup_transforms],
        "lines": [str(t) for t in shell.input_transformer_manager.line_transforms],
        "ast": [str(t) for t in shell.ast_transformers],
        "events": {name: [str(f) for f in events[name]] for name in events},
        "completers": sorted(hooks.strs) if hooks else [],
        "meta_path": [type(f).__name__ for f in sys.meta_path],
        "path hooks": len(sys.path_hooks),
        "threads": sorted(t.name for t in threading.enumerate()),
        "namespace": sorted(shell.user_ns),
        "handlers": sorted(shell.custom_exceptions and map(str, shell.custom_exceptions)),
        "displayhook": str(sys.displayhook), "excepthook": str(sys.excepthook),
        "comm targets": sorted(kernel.comm_manager.targets) if kernel else [],
    }

kernel = None
def tell(**values):
    with open(os.environ["LLMPORT_TEST_TOLD"], "w", encoding="utf-8") as file:
        json.dump(values, file)
"""

KERNEL = """
from types import SimpleNamespace
import comm
kernel = SimpleNamespace(comm_manager=comm.get_comm_manager())
shell.kernel = kernel
"""


def _run(code: str, folder: Path) -> tuple[dict[str, object], str]:
    """Run code in a process of its own; give what it told and everything that it printed."""
    told = folder / "told.json"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=PATIENCE,
        check=False,
        env={
            **os.environ,
            "LLMPORT_TEST_TOLD": str(told),
            "LLMPORT_SANDBOX_SECONDS": str(PATIENCE),
            "IPYTHONDIR": str(folder / "ipython"),
        },
    )
    assert done.returncode == 0, done.stderr
    return json.loads(told.read_text("utf-8")), done.stdout + done.stderr


def test_load_is_light_and_silent(tmp_path: Path) -> None:
    """Loading imports nothing heavy beyond what the kernel has, and prints nothing (X-01)."""
    told, printed = _run(
        SHELL
        + """
before = set(sys.modules)
import llmport_magic
imported = set(sys.modules) - before
shell.run_line_magic("load_ext", "llmport_magic")
tell(imported=sorted(imported), loaded=sorted(set(sys.modules) - before))
""",
        tmp_path,
    )
    heavy = {name.partition(".")[0] for name in told["loaded"]} & HEAVY

    assert "llmport_magic.notebook.magics" in told["loaded"]
    assert heavy == set()
    # Known by what they cost: what only a prompt needs is loaded by the first one.
    assert not {"llmport_magic.progress", "llmport_magic.notebook.context"} & set(told["loaded"])
    assert [name for name in told["imported"] if name.startswith("llmport_magic.")] == []
    assert printed == ""


def test_plain_import_loads_nothing_heavy(tmp_path: Path) -> None:
    """`import llmport_magic` in plain Python loads neither IPython nor anything heavy (X-01)."""
    told, printed = _run(
        """
import json, os, sys
before = set(sys.modules)
import llmport_magic
dir(llmport_magic)
with open(os.environ["LLMPORT_TEST_TOLD"], "w") as file:
    json.dump({"new": sorted(set(sys.modules) - before)}, file)
""",
        tmp_path,
    )
    roots = {name.partition(".")[0] for name in told["new"]}

    assert roots & (HEAVY | {"IPython", "ipykernel", "asyncio"}) == set()
    assert printed == ""


@pytest.mark.parametrize("kernel", ["", KERNEL], ids=["shell", "kernel"])
def test_unload_undoes_everything(kernel: str, tmp_path: Path) -> None:
    """After `%unload_ext` the shell is as it was before `%load_ext` (S0-40)."""
    told, _ = _run(
        SHELL
        + kernel
        + """
before = state()
shell.run_line_magic("load_ext", "llmport_magic")
loaded = state()
shell.run_line_magic("unload_ext", "llmport_magic")
tell(before=before, loaded=loaded, after=state())
""",
        tmp_path,
    )

    assert told["loaded"] != told["before"]
    assert told["after"] == told["before"]


def test_loading_twice_adds_nothing_twice(tmp_path: Path) -> None:
    """A second load and a reload leave one of each hook, magic and comm target (S0-40)."""
    told, _ = _run(
        SHELL
        + KERNEL
        + """
import llmport_magic
shell.run_line_magic("load_ext", "llmport_magic")
once = state()
llmport_magic.load_ipython_extension(shell)
twice = state()
shell.run_line_magic("reload_ext", "llmport_magic")
tell(once=once, twice=twice, reloaded=state())
""",
        tmp_path,
    )
    first = told["once"]["cleanup"]

    assert told["once"]["comm targets"] == ["llmport"]
    assert len([transform for transform in first if "keep_raw" in transform]) == 1
    assert told["twice"] == told["once"]
    assert [t.split(" at ")[0] for t in told["reloaded"]["cleanup"]] == [
        t.split(" at ")[0] for t in first
    ]
    assert {**told["reloaded"], "cleanup": first} == told["once"]


def test_magics_are_gone_after_unload(tmp_path: Path) -> None:
    """An unloaded magic is unknown again, and the cells' text is IPython's business (S0-40)."""
    told, _ = _run(
        SHELL
        + """
shell.run_line_magic("load_ext", "llmport_magic")
shell.run_line_magic("unload_ext", "llmport_magic")
cell = "%%llmport circle\\n>>> area(1)\\n"
tell(found=[shell.find_cell_magic("llmport") is not None,
            shell.find_line_magic("llmport") is not None,
            shell.find_cell_magic("llmport_module") is not None],
     text=shell.input_transformer_manager.transform_cell(cell))
""",
        tmp_path,
    )

    assert told["found"] == [False, False, False]
    assert ">>>" not in told["text"]


def test_library_works_without_ipython(tmp_path: Path) -> None:
    """`llmport()` and `update()` need no IPython, in plain Python (S0-03)."""
    told, _ = _run(
        f"""
import json, os, sys
for name in ("IPython", "ipykernel", "ipywidgets", "comm"):
    sys.modules[name] = None
sys.path.insert(0, {str(Path(__file__).parent)!r})
from scripted import BETTER, GOOD, PROMPT, fenced, scripted
from llmport_magic import llmport, update

with scripted(fenced(GOOD), fenced(BETTER)) as script:
    circle = llmport("circle", PROMPT, provider="scripted")
    made = circle.area(1)
    same = update("circle", "add sector area", provider="scripted") is circle
with open(os.environ["LLMPORT_TEST_TOLD"], "w") as file:
    json.dump({{"area": made, "same": same, "sector": circle.sector(1, 360),
               "file": circle.__file__, "calls": script.calls}}, file)
""",
        tmp_path,
    )

    assert told["area"] == told["sector"] == pytest.approx(3.14159, abs=1e-5)
    assert told["same"] is True
    assert Path(told["file"]) == tmp_path / "circle.py"
    assert told["calls"] == 2
