"""`llmport()` and `update()` in plain Python, without Jupyter."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from awaiting import PATIENCE
from scripted import BETTER, GOOD, PROMPT, fenced, scripted

from llmport_magic import configure, llmport, update
from llmport_magic import session as sessions
from llmport_magic.errors import ConsentRequired, LLMError, VerificationError
from llmport_magic.modules import loader
from llmport_magic.modules.store import ModuleStore

UNCHANGED = "Hold this, too.\n\n>>> area(0)\n0.0"
UPDATE = "Add sector.\n\n>>> round(sector(2, 180), 3)\n6.283"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder of its own, with a fresh session and no module left over."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMPORT_SANDBOX_SECONDS", str(PATIENCE))
    sessions.close_session()
    yield tmp_path
    sessions.close_session()
    loader.uninstall()
    configure()


def test_a_prompt_gives_a_live_module(folder: Path) -> None:
    """`llmport()` returns the module that `import` gives, saved as UTF-8 (S0-01, S0-02, S0-28)."""
    source = GOOD.replace("Area of a circle.", "Fläche 🟠.")
    with scripted(fenced(source)) as script:
        circle = llmport("circle", PROMPT, provider="scripted")
    assert circle.__name__ == "circle"
    assert Path(circle.__file__ or "") == folder / "circle.py"
    assert importlib.import_module("circle") is circle
    assert circle.area(1) == pytest.approx(3.14159, abs=1e-4)
    assert (folder / "circle.py").read_bytes() == source.encode("utf-8")
    assert "Fläche" in inspect.getsource(circle.area)
    assert pickle.loads(pickle.dumps(circle.area)) is circle.area
    assert importlib.reload(circle) is circle
    assert script.calls == 1


def test_an_update_that_changes_nothing_says_so_and_is_not_asked_again(folder: Path) -> None:
    """The same text is a version of the new prompt, so that this prompt is free from then on."""
    with scripted(*[fenced(GOOD)] * 2) as script:
        llmport("circle", PROMPT, provider="scripted")
        with pytest.warns(UserWarning, match="nothing changed: the model gave v1 back as it was"):
            update("circle", UNCHANGED, provider="scripted")
        update("circle", UNCHANGED, provider="nobody-of-that-name")
        assert script.calls == 2
    first, second = ModuleStore(folder).versions("circle")
    assert (second.parent, second.source, second.prompt) == (first.id, GOOD, UNCHANGED)


def test_a_stored_prompt_calls_nobody(folder: Path) -> None:
    """The same prompt again needs no provider; `overwrite` asks again (S0-05, S0-06)."""
    with scripted(fenced(GOOD), fenced(BETTER)) as script:
        llmport("circle", PROMPT, provider="scripted")
        llmport("circle", PROMPT, provider="nobody-of-that-name")
        assert script.calls == 1
        again = llmport("circle", PROMPT, overwrite=True, provider="scripted")
        assert script.calls == 2
    assert hasattr(again, "sector")


def test_update_keeps_the_object(folder: Path) -> None:
    """`update()` changes the same module object; what a wrong answer says is not taken (S0-07)."""
    with scripted(fenced(GOOD), fenced(BETTER), *[fenced("def area(r): return 0\n")] * 9):
        circle = llmport("circle", PROMPT, provider="scripted")
        assert update("circle", UPDATE, provider="scripted") is circle
        assert round(circle.sector(2, 180), 3) == 6.283
        with pytest.raises(VerificationError, match="expected"):
            update("circle", "Faster.\n\n>>> round(area(2), 3)\n12.566", provider="scripted")
    assert round(circle.sector(2, 180), 3) == 6.283


def test_updating_what_is_not_there_fails(folder: Path) -> None:
    """`update()` of a missing module is a FileNotFoundError and calls nobody (S0-08)."""
    with scripted() as script, pytest.raises(FileNotFoundError, match=r"circle\.py"):
        update("circle", UPDATE, provider="scripted")
    assert script.calls == 0


def test_another_folder(folder: Path) -> None:
    """`module_dir` puts the module elsewhere; import and reload work from there (S0-29)."""
    (folder / "gen").mkdir()
    with scripted(fenced(GOOD)):
        module = llmport("gen_circle", PROMPT, provider="scripted", module_dir="gen")
    assert (folder / "gen" / "gen_circle.py").exists()
    assert importlib.import_module("gen_circle") is module
    assert importlib.reload(module) is module


def test_code_that_needs_consent_is_not_imported(folder: Path) -> None:
    """Import-time effects need `trust="always"`; without it nothing runs (S0-43)."""
    source = 'with open("seen.txt", "w") as f:\n    f.write("x")\n\n\ndef area(r):\n    return r\n'
    with scripted(fenced(source), fenced(source)):
        with pytest.raises(ConsentRequired, match="trust"):
            llmport("circle", "Area.", provider="scripted")
        assert "circle" not in sys.modules
        assert not (folder / "seen.txt").exists()
        assert llmport("circle", "Area.", provider="scripted", trust="always").area(2) == 2


def test_the_text_log_and_the_screen(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`log_text` appends `<module>.log`, `stdout` prints, `log=False` writes nothing (S0-32)."""
    with scripted(*[fenced(GOOD)] * 3):
        llmport("circle", PROMPT, provider="scripted", log_text=True, stdout=True)
        text = (folder / "circle.log").read_text(encoding="utf-8")
        assert text.index("--- PROMPT ---") < text.index("--- RESPONSE ---")
        assert "--- PROMPT ---" in capsys.readouterr().out
        llmport("circle", PROMPT, overwrite=True, provider="scripted", log=False, log_text=True)
        assert (folder / "circle.log").read_text(encoding="utf-8") == text
        assert capsys.readouterr().out == ""


def test_the_prompt_is_on_disk_before_it_is_sent(folder: Path) -> None:
    """While the provider is still thinking, the journal already holds the prompt (S0-31)."""
    seen: list[str] = []

    def respond(_: str) -> str:
        for path in (folder / ".llmport" / "journal").glob("*.jsonl"):
            seen.extend(json.loads(line)["kind"] for line in path.read_text().splitlines())
        return fenced(GOOD)

    with scripted(respond):
        llmport("circle", PROMPT, provider="scripted")
    assert "PROMPT" in seen
    assert "RESPONSE" not in seen


def test_a_failing_call_is_in_the_log(folder: Path) -> None:
    """A call that raises leaves its prompt and the error in the journal (S0-31)."""
    with scripted(LLMError("the provider is down")), pytest.raises(LLMError, match="down"):
        llmport("circle", PROMPT, provider="scripted")
    text = "".join(p.read_text() for p in (folder / ".llmport" / "journal").glob("*.jsonl"))
    kinds = [json.loads(line)["kind"] for line in text.splitlines()]
    assert kinds[0] == "PROMPT"
    assert kinds[-1] == "ERROR"


def test_works_inside_a_running_loop(folder: Path) -> None:
    """The sync face works where a loop is running already, as in a notebook (S4-06)."""

    async def cell() -> float:
        return float(llmport("circle", PROMPT, provider="scripted").area(1))

    with scripted(fenced(GOOD)):
        assert asyncio.run(cell()) == pytest.approx(3.14159, abs=1e-4)


def test_a_script_needs_no_jupyter(folder: Path) -> None:
    """The library works without IPython; another process imports the file (S0-02, S0-03)."""
    script = f"""
import sys
sys.modules["IPython"] = None
sys.path.insert(0, {str(Path(__file__).parent)!r})
from scripted import GOOD, PROMPT, fenced, scripted
from llmport_magic import llmport
with scripted(fenced(GOOD)):
    print(round(llmport("circle", PROMPT, provider="scripted").area(1), 2))
"""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["LC_ALL"] = "C"
    for code, shown in ((script, "3.14"), ("import circle; print(circle.area(0))", "0.0")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.stdout.strip() == shown, done.stderr
