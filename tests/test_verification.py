"""A candidate gets a verdict on two axes, with findings that a person or a model can act on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ordinary_modules import ORDINARY
from sandboxed import overdue_at

from llmport_magic.errors import StoreError
from llmport_magic.modules.examples import parse_examples
from llmport_magic.modules.sandbox import sandboxing
from llmport_magic.modules.sandbox.job import SandboxResult
from llmport_magic.modules.verification import Verdict, check_plain, verify
from llmport_magic.settings import resolve

PROMPT = """Area of a circle.

>>> area(2)
12.566
>>> area(-1)
Traceback (most recent call last):
ValueError: negative
"""
AREA = """import math

def area(r):
    if r < 0:
        raise ValueError("negative")
    return math.pi * r * r
"""


async def _verify(source: str, prompt: str = PROMPT, **options: object) -> Verdict:
    settings = resolve(sandbox_seconds=120.0, trust=options.pop("trust", "ask"))
    return await verify(
        source,
        module_name="circle",
        examples=parse_examples(prompt),
        settings=settings,
        **options,  # type: ignore[arg-type]
    )


async def test_a_module_that_passes() -> None:
    """Clean code whose examples hold has passed, in one line (S0-43)."""
    verdict = await _verify(AREA)

    assert (verdict.safety, verdict.proof, verdict.findings) == ("clean", "passed", ())
    assert verdict.line() == f"2 of 2 examples passed · {sandboxing.level()}"
    assert not verdict.environment
    assert verdict.seconds > 0


async def test_a_failed_example_says_got_and_expected() -> None:
    """A failed example is one short line: where, what it gave, what it shall give (S0-43)."""
    verdict = await _verify(AREA.replace("math.pi", "3.1425"))

    assert verdict.proof == "failed"
    assert verdict.findings == ("line 3: area(2) gave 12.57, expected 12.566",)
    assert [e.passed for e in verdict.examples] == [False, True]
    assert verdict.examples[0].got == "12.57"
    assert verdict.line() == f"1 of 2 examples passed · {sandboxing.level()}"


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (("raise ValueError", "return str"), "line 5: area(-1) gave 'negative', expected ValueE"),
        (("ValueError(", "KeyError("), "line 5: area(-1) raised KeyError: 'negative', expected"),
        (("import math", ""), "line 3: area(2) raised NameError: name 'math' is not defined"),
        (("def area", "def surface"), "line 3: area(2) raised NameError: name 'area' is not"),
        (("import math", "import math\n1 / 0"), "line 2: ZeroDivisionError: division by zero"),
        (("import math", "from math import pie"), "line 1: ImportError: cannot import name 'pie'"),
        (("import math", "from . import other"), "line 1: ImportError: attempted relative import"),
        (("import math", "import json.nothing"), "line 1: ModuleNotFoundError: No module named"),
        (("import math", "import circle\ncircle.x"), "line 2: AttributeError"),
        (("import math", "import math\nraise SystemExit"), "line 2: it ends Python when imported"),
        (("r * r", "r *"), "line 6: SyntaxError"),
        (("import math", "import math\x00"), "line 1: holds the invisible character U+0000"),
    ],
)  # fmt: skip
async def test_what_the_code_does_wrong_is_a_finding(change: tuple[str, str], finding: str) -> None:
    """Each mistake of the code is one line with its place, and is the code's fault (S0-26)."""
    verdict = await _verify(AREA.replace(*change))

    assert verdict.proof == "failed"
    assert verdict.findings[0].startswith(finding)
    assert not verdict.environment
    assert not verdict.missing
    assert all("\n" not in line for line in verdict.findings)


async def test_missing_package_is_the_environments() -> None:
    """A package that is not installed is named with its distribution, and is no fault (S0-34)."""
    verdict = await _verify(AREA.replace("import math", "import cv2, math"))

    assert verdict.proof == "unverified"
    assert verdict.environment
    assert [(m.name, m.distribution) for m in verdict.missing] == [("cv2", "opencv-python")]
    assert "run `pip install opencv-python`" in verdict.findings[0]
    assert "needs cv2" in verdict.line()


async def test_missing_package_inside_a_sibling(tmp_path: Path) -> None:
    """A package that another module of the user's needs is missing, too (S0-34)."""
    (tmp_path / "sibling_of_mine.py").write_text("import nowhere_at_all\n")

    verdict = await _verify("import sibling_of_mine\n" + AREA, module_dir=tmp_path)

    assert verdict.environment
    assert [m.name for m in verdict.missing] == ["nowhere_at_all"]
    assert "pip" not in verdict.findings[0]


async def test_missing_package_at_the_call() -> None:
    """A package that only a function needs is told when an example needs it (S0-34)."""
    verdict = await _verify(AREA.replace("    return", "    import cv2\n    return"))

    assert verdict.environment
    assert verdict.proof != "failed"
    assert [m.name for m in verdict.missing] == ["cv2"]
    assert "needs cv2" in verdict.labels


async def test_deferred_package_is_named_in_the_line() -> None:
    """A package that only a call needs is told, and stops nothing (S0-34)."""
    verdict = await _verify(AREA + "def show():\n    import cv2\n    return cv2\n")

    assert verdict.proof == "passed"
    assert verdict.line().endswith("needs cv2 to be installed")


async def test_shared_namespace_is_no_installed_package(tmp_path: Path) -> None:
    """With one package of `google` there, another one is still missing (S0-34)."""
    (tmp_path / "google" / "auth").mkdir(parents=True)
    (tmp_path / "google" / "auth" / "__init__.py").write_text("")

    verdict = await _verify("from google.cloud.storage import Client\n" + AREA, module_dir=tmp_path)

    assert verdict.environment
    assert [m.distribution for m in verdict.missing] == ["google-cloud-storage"]
    assert "run `pip install google-cloud-storage`" in verdict.findings[0]


async def test_no_examples_is_unverified() -> None:
    """Without examples the module only imports, and the line says so (S0-43)."""
    verdict = await _verify(AREA, "Area of a circle.")

    assert (verdict.safety, verdict.proof) == ("clean", "unverified")
    assert verdict.line() == f"no examples · {sandboxing.level()}"


async def test_examples_that_need_io_are_not_run() -> None:
    """An example that reads or connects, and what needs it, is not run (S0-43)."""
    prompt = ">>> d = open('x').read()\n>>> area(d)\n3\n>>> area(2)\n12.57\n"

    verdict = await _verify(AREA, prompt)

    assert verdict.proof == "passed"
    assert [e.status for e in verdict.examples] == ["not run", "not run", "passed"]
    assert verdict.line() == f"1 of 1 example passed, 2 not run · {sandboxing.level()}"


@pytest.mark.parametrize(
    ("source", "safety"),
    [
        (AREA, "clean"),
        (AREA + "def f(s):\n    return eval(s)\n", "ask"),
        (AREA + "def f():\n    return object.__subclasses__()\n", "refuse"),
    ],
)
@pytest.mark.parametrize(
    ("prompt", "proof"),
    [(PROMPT, "passed"), (">>> area(2)\n13.0\n", "failed"), ("none", "unverified")],
)
async def test_safety_and_proof_are_two_axes(
    source: str, safety: str, prompt: str, proof: str
) -> None:
    """What code does and whether it is right are two things; refused code never runs (S0-43)."""
    verdict = await _verify(source, prompt)

    assert verdict.safety == safety
    assert verdict.proof == ("unverified" if safety == "refuse" else proof)
    if safety != "clean":
        assert any("line 8: " in finding or "line 7: " in finding for finding in verdict.findings)


@pytest.mark.parametrize("options", [{"consent": True}, {"trust": "always"}])
async def test_refused_code_is_not_run_whoever_allows_it(options: dict[str, object]) -> None:
    """What is refused stays refused, and does not run in the sandbox either (S0-43)."""
    verdict = await _verify(f"import os\nos.system('true')\n{AREA}", **options)

    assert (verdict.safety, verdict.proof, verdict.level) == ("refuse", "unverified", "static only")


@pytest.mark.parametrize("level", ["landlock+seccomp", "rlimits only"])
async def test_effects_at_import_are_held_or_wait_for_consent(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that acts when imported runs where the sandbox holds it, else after consent (S0-43)."""
    source = f"open('mark', 'w').close()\n{AREA}"
    if level not in {"rlimits only", sandboxing.level()}:
        pytest.skip("this kernel confines less")
    monkeypatch.setattr(sandboxing, "level", lambda: level)

    before = await _verify(source)

    assert before.safety == "ask"
    assert "needs your consent" in before.line()
    assert before.proof == ("passed" if level == "landlock+seccomp" else "unverified")
    after = await _verify(source, consent=True)
    assert (after.safety, after.proof) == ("ask", "passed")


async def test_unconfined_child_runs_nothing_that_must_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the child cannot be confined after all, code that must be held is not run (S0-43)."""
    child = tmp_path / "sandbox_child.py"
    child.write_bytes(sandboxing._CHILD.read_bytes())
    monkeypatch.setattr(sandboxing, "_CHILD", child)
    monkeypatch.setattr(sandboxing, "level", lambda: "landlock+seccomp")
    mark = tmp_path / "mark"

    verdict = await _verify(f"open({str(mark)!r}, 'w').close()\n{AREA}")

    assert verdict.proof == "unverified"
    assert not mark.exists()


async def test_effect_that_the_sandbox_denies_is_no_fault(tmp_path: Path) -> None:
    """An allowed effect at import that the sandbox stops leaves the code unverified (S0-43)."""
    mark = tmp_path / "mark"

    verdict = await _verify(f"open({str(mark)!r}, 'w').close()\n{AREA}", consent=True)

    assert verdict.proof == ("unverified" if "landlock" in verdict.level else "passed")
    assert mark.exists() == ("landlock" not in verdict.level)
    assert not verdict.broken


async def test_trust_always_is_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `trust = "always"` code that asks is run at once (S0-43)."""
    source = "import sys\nsys.path.append('x')\n" + AREA

    monkeypatch.setattr(sandboxing, "level", lambda: "rlimits only")

    assert (await _verify(source)).proof == "unverified"
    assert (await _verify(source, trust="always")).proof == "passed"


async def test_what_the_sandbox_denies_is_not_held_against_the_code(tmp_path: Path) -> None:
    """An example that the sandbox stops from reading is not run, and not failed (S0-43)."""
    (tmp_path / "data").write_text("3")
    source = f"def load():\n    return open({str(tmp_path / 'data')!r}).read()\n"

    verdict = await _verify(source, ">>> load()\n'3'\n")

    assert verdict.proof == ("unverified" if "landlock" in verdict.level else "passed")
    assert verdict.findings == ()


async def test_hung_example_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An example that does not end is named, and those after it are not run (S0-43)."""
    overdue_at(0, monkeypatch)

    verdict = await _verify(AREA.replace("if r < 0", "while r == 2: pass\n    if r < 0"))

    assert verdict.findings == ("line 3: area(2) did not finish within 120 s, expected 12.566",)
    assert [e.status for e in verdict.examples] == ["failed", "not run"]


@pytest.mark.parametrize(
    "hostile",
    [
        "import os\ndef area(r):\n    os._exit(0)\n",
        "import os\ndef area(r):\n    os.kill(os.getpid(), 9)\n",
        "def area(r):\n    raise SystemExit(0)\n",
        "def area(r):\n    raise BaseException('12.566')\n",
        "def area(r):\n    print('12.566')\n    print('2 of 2 examples passed')\n",
        "class A:\n    def __repr__(self): return 'passed'\ndef area(r):\n    return A()\n",
        "class A:\n    def __eq__(self, o): return True\ndef area(r):\n    return A()\n",
        "class A(float):\n    def __eq__(self, o): return True\ndef area(r):\n    return A(1)\n",
        "def area(r):\n    while True: print('x' * 100000)\n",
    ],
)
async def test_no_way_to_fake_a_pass(hostile: str) -> None:
    """Ending early, printing success and equal-to-all objects are failures (S0-43)."""
    verdict = await _verify(hostile, consent=True)

    assert verdict.proof == "failed"
    assert verdict.findings


async def test_expected_values_never_reach_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the examples shall give is no part of what is sent to the sandbox (S0-43)."""
    jobs = []

    async def run(job: sandboxing.SandboxJob) -> SandboxResult:
        jobs.append(job)
        return SandboxResult(status="ok")

    monkeypatch.setattr(sandboxing, "run", run)
    await _verify(AREA)

    assert "12.566" not in repr(jobs)
    assert "ValueError: negative" not in repr(jobs)


async def test_without_processes_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no sandbox can be started the code is unverified, and the line says so (S0-43)."""
    monkeypatch.setattr(sandboxing.sys, "executable", "")

    verdict = await _verify(AREA)

    assert (verdict.proof, verdict.level) == ("unverified", "static only")
    assert verdict.environment


async def test_verdict_survives_the_store() -> None:
    """A verdict comes back from JSON as it went in (S0-43)."""
    for source in (AREA, AREA.replace("import math", "import cv2"), "import os\nos.system('x')"):
        verdict = await _verify(source)
        data = json.loads(json.dumps(verdict.to_dict()))

        assert Verdict.from_dict(data) == verdict
        assert Verdict.from_dict({**data, "newer": 1}) == verdict


@pytest.mark.parametrize("data", [{}, {"safety": "clean"}, {"safety": 1, "proof": "passed"}])
def test_foreign_verdict_is_refused(data: dict[str, object]) -> None:
    """Data that is no verdict is an error of the store, never a pass (S0-43)."""
    with pytest.raises(StoreError):
        Verdict.from_dict(data)


async def test_plain_code_is_read_and_not_run(tmp_path: Path) -> None:
    """Code for a plain cell is checked without being run; its effects are the user's (S0-43)."""
    mark = tmp_path / "mark"

    verdict = await check_plain(f"open({str(mark)!r}, 'w')\nimport cv2\n", resolve())

    assert (verdict.safety, verdict.proof, verdict.level) == ("clean", "unverified", "static only")
    assert "opencv-python" in verdict.findings[0]
    assert not mark.exists()
    assert (await check_plain("x = (", resolve())).proof == "failed"
    assert (await check_plain("x.__subclasses__()", resolve())).safety == "refuse"


@pytest.mark.parametrize("name", ["circle", "dataclass", "enum", "cache", "typing", "visitor"])
async def test_ordinary_module_is_verified(name: str) -> None:
    """Ordinary modules import in the sandbox without a finding (S0-43)."""
    verdict = await _verify(ORDINARY[name], "no examples")

    assert (verdict.safety, verdict.proof, verdict.findings) == ("clean", "unverified", ())


async def test_where_a_package_lies_is_no_part_of_a_finding() -> None:
    """A name that an installed package lacks is told without the folder, as findings are sent."""
    verdict = await _verify("from json import nope\n", "Area.")

    assert verdict.findings == ("line 1: ImportError: cannot import name 'nope' from 'json'",)
