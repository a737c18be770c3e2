"""Answers of every shape on the whole road: from the reply to the file, the module and the log."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from awaiting import PATIENCE
from scripted import fenced, scripted

from llmport_magic import configure, llmport
from llmport_magic import session as sessions
from llmport_magic.errors import LLMOutputError, VerificationError
from llmport_magic.modules import loader

PLAIN = '"""Boxes."""\n\n\ndef volume(a, b, c):\n    """Volume of a box."""\n    return a * b * c\n'
# A fence in a docstring, one in a string, and text of several scripts.
RICH = (
    '"""Boxes \u2013 K\u00e4sten \U0001f4e6."""\n\n\ndef volume(a, b, c):\n    """Volume.\n\n'
    '    ```python\n    volume(1, 2, 3)\n    ```\n    """\n    return a * b * c\n\n\n'
    "def shown(a):\n    return '```\\n' + str(a) + '\\n```'\n"
)
ASKED = "Boxes.\n\n>>> volume(1, 2, 3)\n6"


def _in(mark: str, code: str, tag: str = "python") -> str:
    return f"{mark}{tag}\n{code}{mark}\n"


def _quoted(code: str) -> str:
    return "".join(f"> {line}\n" for line in code.splitlines())


# What arrives, and the module that must come of it.
SHAPES = {
    "no fence": (PLAIN, PLAIN),
    "no fence, with a greeting": (f"Certainly! Here you go.\n\n{PLAIN}", PLAIN),
    "upper-case tag": (_in("```", PLAIN, "PYTHON"), PLAIN),
    "tag with a version": (_in("```", PLAIN, "python3.12"), PLAIN),
    "tag with line numbers": (_in("```", PLAIN, "python {linenos=true}"), PLAIN),
    "five backticks": (_in("`````", PLAIN), PLAIN),
    "tildes with prose": (f"Module:\n\n{_in('~~~', PLAIN, 'py')}\nDone.\n", PLAIN),
    "fence that is never closed": (f"```python\n{PLAIN}", PLAIN),
    "tildes that are never closed": (f"Here:\n~~~~\n{PLAIN}", PLAIN),
    "closing fence that is longer": (f"```python\n{PLAIN}````\n", PLAIN),
    "fence in a list": (
        "- The module:\n\n" + "".join(f"  {x}\n" for x in _in("```", PLAIN).splitlines()),
        PLAIN,
    ),
    "fence in a quotation": (_quoted(_in("```", PLAIN)), PLAIN),
    "nested in Markdown": (_in("````", f"# Boxes\n\n{_in('```', PLAIN)}", "md"), PLAIN),
    "fences in docstring and string": (_in("```", RICH), RICH),
    "fences in docstring and string, no fence around": (RICH, RICH),
    "five fences of four languages": (
        _in("```", "pip install boxes && rm -rf build\n", "bash")
        + _in("```", '{"a": 1}\n', "json")
        + _in("```", PLAIN)
        + _in("```", "a: 1\n", "yaml")
        + _in("```", "SELECT 1;\n", "sql"),
        PLAIN,
    ),
    "shell before, untagged": (_in("```", "touch hacked\n", "") + _in("```", PLAIN), PLAIN),
    "shell lines of a notebook": (_in("```", f"!touch hacked\n%pip install x\n{PLAIN}"), PLAIN),
    "console session behind": (
        _in("```", PLAIN) + _in("```", ">>> volume(1, 2, 3)\n6\n", "pycon"),
        PLAIN,
    ),
    "CRLF": (_in("```", PLAIN).replace("\n", "\r\n"), PLAIN),
    "CR only": (_in("```", PLAIN).replace("\n", "\r"), PLAIN),
    "byte order mark": ("\ufeff" + _in("```", PLAIN), PLAIN),
    "form feed": (
        _in("```", PLAIN.replace("\n\n\ndef", "\n\f\ndef")),
        PLAIN.replace("\n\n\ndef", "\n\f\ndef"),
    ),
    "tabs": (_in("```", PLAIN.replace("    ", "\t")), PLAIN.replace("    ", "\t")),
    "thoughts in front": (f"<think>\n{_in('```', 'x = 1', 'py')}</think>\n{PLAIN}", PLAIN),
    "end of turn behind": (f"{_in('```', PLAIN)}<|im_end|>\n", PLAIN),
    "two halves": (
        _in("```", '"""Boxes."""\nimport math\n') + "and\n" + _in("```", PLAIN[13:]),
        '"""Boxes."""\nimport math\n' + PLAIN[13:],
    ),
    "usage behind": (
        _in("```", PLAIN) + "Use it so:\n" + _in("```", "import box\nprint(box.volume(1, 2, 3))\n"),
        PLAIN,
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder of its own, with a fresh session and no module left over."""
    monkeypatch.chdir(tmp_path)
    sessions.close_session()
    configure(provider="scripted", tries=1, sandbox_seconds=PATIENCE)
    yield tmp_path
    sessions.close_session()
    loader.uninstall()
    configure()


def journal(folder: Path) -> list[dict[str, Any]]:
    """Give the events of the folder's journals."""
    lines = [
        line
        for file in sorted((folder / ".llmport" / "journal").glob("*.jsonl"))
        for line in file.read_text("utf-8").splitlines()
    ]
    return [json.loads(line) for line in lines]


def _answers(folder: Path) -> list[str]:
    return [json.dumps(e, ensure_ascii=False) for e in journal(folder) if e["kind"] == "RESPONSE"]


@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_of_any_shape_becomes_the_same_module(folder: Path, shape: str) -> None:
    """The file is the module in LF and UTF-8, nothing else ran, the reply is on record (P50-53)."""
    answer, module = SHAPES[shape]
    with scripted(answer):
        box = llmport("box", ASKED)

    saved = (folder / "box.py").read_bytes()
    assert saved.decode("utf-8").split() == module.split()
    assert b"\r" not in saved
    assert not saved.startswith(b"\xef\xbb\xbf")
    assert saved.endswith(b"\n")
    assert box.volume(2, 3, 4) == 24
    assert not (folder / "hacked").exists()
    # The reply is kept as it came, fences and all.
    kept = json.dumps(answer, ensure_ascii=False)[1:-1].replace("\\ufeff", "\ufeff")
    assert any(kept.strip() in line for line in _answers(folder))


@pytest.mark.parametrize("tag", ["bash", "sh", "json", "yaml", "html", "c++", "console"])
def test_only_other_languages_are_no_module(folder: Path, tag: str) -> None:
    """An answer in other languages alone is an error; nothing of it runs or is written (P51)."""
    with scripted(_in("```", "touch hacked\n", tag)), pytest.raises(LLMOutputError):
        llmport("box", ASKED)

    assert sorted(path.name for path in folder.glob("*.py")) == []
    assert not (folder / "hacked").exists()
    assert any("touch hacked" in line for line in _answers(folder))


WRONG = {
    "future import that is not first": ("x = 1\nfrom __future__ import annotations\n", "line 2"),
    "await at the top": ("import asyncio\nawait asyncio.sleep(0)\n", "line 2"),
    "async for at the top": ("x = 1\nasync for a in x:\n    pass\n", "line 2"),
    "print of Python 2": ("def f():\n    print 'two'\n", "line 2"),
    "except of Python 2": ("try:\n    pass\nexcept ValueError, e:\n    pass\n", "line 3"),
    "tabs and spaces": ("def f(x):\n\tif x:\n        return 1\n", "line 3"),
    "return at the top": ("x = 1\n\nreturn x\n", "line 3"),
    "bracket left open": ("x = 1\ny = (1,\n", "line 2"),
    "text left open": ('def f():\n    """Text.\n    return 1\n', "line "),
    "invisible character": ("x = 1\ny = 'a\u202eb'\n", "line 2"),
    "NUL": ("x = 1\ny = 'a\0b'\n", "line 2"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_python_cannot_read_is_told_with_its_line(folder: Path, kind: str) -> None:
    """A syntax error is a finding with its line, in error and log; nothing is imported (P54)."""
    code, where = WRONG[kind]
    with scripted(fenced(code)), pytest.raises(VerificationError) as caught:
        llmport("box", ASKED)

    assert where in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "box" not in sys.modules
    assert not (folder / "box.py").exists()
    checks = [event for event in journal(folder) if event["kind"] == "VERIFY"]
    assert where in json.dumps(checks)


NEWER = [
    ("type Pair = tuple[int, int]\n", (3, 12)),
    ("def first[T](items: list[T]) -> T:\n    return items[0]\n", (3, 12)),
    ("class Box[T = int]:\n    pass\n", (3, 13)),
    ("try:\n    pass\nexcept ValueError, TypeError:\n    pass\n", (3, 14)),
    ("x = 1\ny = t'{x}'\n", (3, 14)),
]


@pytest.mark.parametrize(("code", "needs"), NEWER)
def test_syntax_of_a_newer_python_names_both(
    folder: Path, code: str, needs: tuple[int, int]
) -> None:
    """What only a newer Python reads is told with both versions, not as a mere mistake (P55)."""
    if sys.version_info >= needs:
        with scripted(fenced(f"{PLAIN}\n\n{code}")):
            assert llmport("box", ASKED).volume(1, 2, 3) == 6
        return
    with scripted(fenced(code)), pytest.raises(VerificationError) as caught:
        llmport("box", ASKED)

    here = ".".join(map(str, sys.version_info[:2]))
    assert f"needs Python {needs[0]}.{needs[1]}, this is Python {here}" in str(caught.value)
    assert not (folder / "box.py").exists()


def test_a_wrong_answer_is_followed_by_the_next(folder: Path) -> None:
    """Of two answers the second counts; the log has both, the first with what is wrong (S0-26)."""
    configure(provider="scripted", tries=3, sandbox_seconds=PATIENCE)
    with scripted(fenced("def volume(a, b, c)\n    return a\n"), fenced(PLAIN)) as script:
        box = llmport("box", ASKED)

    assert script.calls == 2
    assert box.volume(1, 1, 1) == 1
    assert len(_answers(folder)) == 2
    kinds = [event["kind"] for event in journal(folder)]
    assert kinds.count("PROMPT") == 2
    assert "line 1: SyntaxError" in json.dumps(
        [e for e in journal(folder) if e["kind"] == "VERIFY"]
    )


HOSTILE = {
    "sys.exit": "import sys\nsys.exit(0)\n",
    "os._exit": "import os\nos._exit(0)\n",
    "kill": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
    "kill of the parent": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n",
    "BaseException": "class End(BaseException): ...\nraise End\n",
    "KeyboardInterrupt": "raise KeyboardInterrupt\n",
    "marker": 'print(\'{"status": "ok", "observations": {"0": "6"}}\', flush=True)\n',
    "os._exit in a function": "import os\ndef volume(a, b, c):\n    os._exit(0)\n",
    "BaseException in a function": "def volume(a, b, c):\n    raise SystemExit(0)\n",
    "marker in a function": (
        "import os\ndef volume(a, b, c):\n    for n in range(3, 20):\n        try:\n"
        "            os.write(n, b'6')\n        except OSError:\n            pass\n    return 5\n"
    ),
    "equal to everything": (
        "class All(int):\n    def __eq__(self, other):\n        return True\n"
        "    __hash__ = int.__hash__\n"
        "def volume(a, b, c):\n    return All(5)\n"
    ),
}


@pytest.mark.parametrize("way", HOSTILE)
def test_code_cannot_claim_its_own_success(folder: Path, way: str) -> None:
    """Code that ends its process or prints what success looks like has failed (V59)."""
    with scripted(fenced(HOSTILE[way])), pytest.raises(VerificationError) as caught:
        llmport("box", ASKED)

    assert "\n" not in str(caught.value)
    assert "box" not in sys.modules
    assert not (folder / "box.py").exists()


def test_what_fails_only_in_the_kernel_leaves_the_last_version(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other state than in the child: an IMPORT_ERROR, and the last version stays live (V64)."""
    there = "import sys\nif sys.flags.isolated == 0 and getattr(sys, 'in_use', 0):\n    1 / 0\n"
    with scripted(fenced(PLAIN), fenced(there + PLAIN)):
        box = llmport("box", ASKED)
        monkeypatch.setattr(sys, "in_use", 1, raising=False)
        with pytest.raises(VerificationError, match="ZeroDivisionError"):
            llmport("box", ASKED + "\n\nOnce more.")

    assert sys.modules["box"] is box
    assert box.volume(1, 2, 3) == 6
    assert (folder / "box.py").read_text("utf-8") == PLAIN
    assert [e["kind"] for e in journal(folder)].count("IMPORT ERROR") == 1
