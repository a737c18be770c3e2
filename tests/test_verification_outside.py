"""What the sandbox keeps from code is told as such, with bubblewrap and without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sandboxed import confined, entered, posix, run
from scripted import fenced, scripted
from trials import tried

from llmport_magic import llmport
from llmport_magic.errors import ConsentRequired
from llmport_magic.modules.examples import parse_examples
from llmport_magic.modules.verification import Verdict, verify
from llmport_magic.settings import resolve

pytestmark = [posix, confined]

DEFINED = "\n\ndef a():\n    return 1\n"
# The folder is filled in: it lies outside of what a check may read or write.
AT_IMPORT = {
    "network": "import urllib.request\nX = urllib.request.urlopen('http://127.0.0.1:9/')",
    "httpx": "import httpx\nX = httpx.get('http://127.0.0.1:9/')",
    "reads": "\nX = open('{outside}/secret').read()",
    "writes": "\nopen('{outside}/new', 'w').write('1')",
    "asks": "\nX = input('name? ')",
    "asks for a password": "import getpass\nX = getpass.getpass()",
    "asks before it ends": "import sys\nX = input('name? ')\nsys.exit(0)",
}
DENIED = "the sandbox does not allow what it does"
HIDDEN = "the sandbox does not have the file or folder"
# What is said with Landlock alone, and where bubblewrap stands around it.
AS_EXAMPLES = {
    # Landlock denies what bubblewrap hides.
    "first('{outside}/secret')": (DENIED, HIDDEN),
    "save('{outside}/new')": (DENIED, HIDDEN),
    "save('/etc/new')": (DENIED, DENIED),
    "get()": ("it needs the network", "it needs the network"),
    "name()": ("it asks the user", "it asks the user"),
}
FILES = """import urllib.request

def first(path):
    with open(path) as file:
        return file.readline().strip()

def save(path):
    with open(path, "w") as file:
        return file.write("x")

def get():
    return urllib.request.urlopen("http://127.0.0.1:9/").read()

def name():
    return input("name? ")
"""


@pytest.fixture(params=["cold", "cold in bwrap"])
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a test with bubblewrap and without; gives the level that must be reached."""
    yield from entered(request.param, monkeypatch)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file that no check may see; the notebook lies beside it."""
    for name in ("outside", "notebook"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "secret").write_text("secret\n")
    monkeypatch.chdir(tmp_path / "notebook")
    return tmp_path / "outside"


async def _verify(source: str, prompt: str = "", **given: object) -> Verdict:
    settings = resolve(sandbox_seconds=120.0, sandbox_warm=False, **given)
    return await verify(
        source, module_name="circle", examples=parse_examples(prompt), settings=settings
    )


@pytest.mark.parametrize("kind", AT_IMPORT)
async def test_what_is_kept_from_an_import_waits_for_consent(
    kind: str, level: str, outside: Path
) -> None:
    """An effect at import that the sandbox stops is the environment's, and asks (S0-43)."""
    source = AT_IMPORT[kind].replace("{outside}", str(outside)) + DEFINED

    verdict = await _verify(source, ">>> a()\n1\n")

    assert (verdict.level, verdict.safety, verdict.proof) == (level, "ask", "unverified")
    assert verdict.environment
    assert not verdict.broken
    assert verdict.findings[0].startswith("line 2: not run to its end: ")
    assert verdict.findings[0].endswith(" when imported")
    assert [example.status for example in verdict.examples] == ["not run"]


async def test_what_did_not_import_is_not_tried_on_copies(outside: Path) -> None:
    """A module whose import the sandbox stops is not tried on data, and does not fail there."""
    source = f"\nX = open('{outside}/secret').read()\n\ndef size(df):\n    return len(df)\n"

    verdict = await tried(source, {"df": [1, 2, 3]})

    assert (verdict.safety, verdict.proof, verdict.tried) == ("ask", "unverified", "")
    assert verdict.environment


@pytest.mark.parametrize("example", AS_EXAMPLES)
async def test_what_is_kept_from_an_example_is_not_run(
    example: str, level: str, outside: Path
) -> None:
    """An example that the sandbox stops is not run, for a reason, and not failed (S0-43)."""
    prompt = f">>> {example}\n'secret'\n".replace("{outside}", str(outside))

    verdict = await _verify(FILES, prompt)

    assert (verdict.level, verdict.safety, verdict.proof) == (level, "clean", "unverified")
    assert [outcome.status for outcome in verdict.examples] == ["not run"]
    assert verdict.examples[0].reason == AS_EXAMPLES[example]["bwrap" in level]
    assert verdict.findings == ()


@pytest.mark.parametrize(
    "raised",
    [
        "OSError(30, 'Read-only file system')",
        "FileNotFoundError('x')",
        "EOFError()",
        "ConnectionError()",
        "SystemExit",
    ],
)
async def test_the_same_errors_of_code_that_reaches_nothing_are_its_own(raised: str) -> None:
    """Code that can use neither files nor network and raises such an error failed (S0-26)."""
    at_import = await _verify(f"\nraise {raised}{DEFINED}")
    called = await _verify(f"def a():\n    raise {raised}\n", ">>> a()\n1\n")

    assert (at_import.proof, called.proof) == ("failed", "failed")
    assert not at_import.environment
    assert at_import.findings[0].startswith("line 2: ")


async def test_an_import_that_ends_python_is_the_codes_own() -> None:
    """`sys.exit` at import failed, though the policy asks: no kernel can import it (S0-26)."""
    verdict = await _verify("import sys\nsys.exit(0)" + DEFINED)

    assert (verdict.safety, verdict.proof) == ("ask", "failed")
    assert verdict.findings[0] == "line 2: it ends Python when imported"


@pytest.mark.parametrize(
    "body",
    [
        "open('x', 'w').read()",
        "os.mkdir('x')\n    os.mkdir('x')",
        "open('.')",
    ],
)
async def test_what_files_refuse_anywhere_is_the_codes_own(body: str) -> None:
    """An error that no sandbox brings about is failed in code that uses files, too (S0-26)."""
    verdict = await _verify(f"import os\ndef a():\n    {body}\n", ">>> a()\n1\n")

    assert verdict.labels == ("files",)
    assert verdict.proof == "failed"


@pytest.mark.parametrize("kind", AT_IMPORT)
def test_what_is_kept_from_an_import_buys_one_answer(
    kind: str, outside: Path, tmp_path: Path
) -> None:
    """A model is not asked to mend what only the sandbox forbids: the answer is held (S0-43)."""
    source = AT_IMPORT[kind].replace("{outside}", str(outside)) + DEFINED

    with scripted(*[fenced(source)] * 2) as script, pytest.raises(ConsentRequired):
        llmport("held_back", "Do it.", provider="scripted", module_dir=str(tmp_path))

    assert script.calls == 1


GREEDY = "def a(_=None):\n    return 'x' * 10**9\n"


async def test_memory_that_is_too_small_is_named() -> None:
    """Where a check has too little memory, the line names the setting, whoever ran out of it."""
    little = {"sandbox_memory_mb": 64}

    package = await _verify("import numpy\n", **little)
    at_import = await _verify(GREEDY + "X = a()\n", **little)
    example = await _verify(GREEDY, ">>> len(a())\n1\n", **little)
    on_copies = await tried(GREEDY.replace("_=None", "df"), {"df": [1]}, **little)

    for verdict in (package, at_import, example, on_copies):
        assert "`sandbox_memory_mb`" in verdict.findings[0], verdict.findings


@pytest.mark.parametrize(("said", "named"), [("Memory allocation failed", True), ("bye", False)])
async def test_a_process_that_dies_of_memory_says_so(said: str, named: bool, level: str) -> None:
    """A library that ends the process for want of memory says so where nobody else can."""
    source = f"import os\ndef a():\n    os.write(2, {said.encode()!r})\n    os._exit(1)\n"

    result = await run(source, "a()", memory_mb=512)

    assert (result.status, result.level) == ("crashed", level)
    assert result.error.startswith("the process ended itself (exit code 1)")
    assert ("`sandbox_memory_mb` = 512" in result.error) == named
