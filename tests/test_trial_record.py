"""What is kept and told of a trial, and that no other check has the copies in reach."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from trials import BODY, MONTHLY, sales, tried

from llmport_magic.modules.sandbox import sandboxing
from llmport_magic.modules.sandbox.job import ImportFailure, SandboxJob, SandboxResult
from llmport_magic.modules.verdict import Verdict


async def test_the_verdict_keeps_the_line_and_no_value() -> None:
    """A stored verdict has the line; what an exception said of the data is nowhere in it."""
    source = MONTHLY.replace(BODY, "return df['customer'].astype(float)")

    verdict = await tried(source, {"df": sales()})

    assert verdict.seen == "ValueError: could not convert string to float: 'person-0000000'"
    assert "person" not in str(verdict.to_dict())
    assert verdict.findings[0] == (
        "line 6: monthly(df), tried on a copy, raised ValueError: could not convert string to "
        "float: <value> (in `return df['customer'].astype(float)`)"
    )
    assert Verdict.from_dict(verdict.to_dict()) == verdict
    old = {key: value for key, value in verdict.to_dict().items() if key != "tried"}
    assert Verdict.from_dict(old).tried == ""


async def test_where_a_package_lies_is_not_told() -> None:
    """An import that fails in a trial is told as one that fails outside of it: without the path."""
    verdict = await tried("def f(df):\n    from json import nix\n", {"df": sales()})

    assert verdict.seen == "ImportError: cannot import name 'nix' from 'json'"
    assert verdict.findings[0].endswith("'nix' from 'json' (in `from json import nix`)")


async def test_what_only_the_user_sees_is_plain_text() -> None:
    """Escape codes in the data do not reach the terminal by way of an exception."""
    source = "def f(df):\n    raise ValueError(df['who'][0])\n"

    verdict = await tried(source, {"df": pd.DataFrame({"who": ["\x1b[2J\u202eada"]})})

    assert verdict.seen == "ValueError: [2Jada"
    assert "ada" not in verdict.findings[0]


async def test_a_report_that_makes_no_sense_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a candidate that took the child over may send ends as `not tried`."""
    real = sandboxing.run

    async def lying(job: object) -> SandboxResult:
        result = await real(job)  # type: ignore[arg-type]
        if job.trial is None:  # type: ignore[attr-defined]
            return result
        return SandboxResult(
            status="ok", level=result.level, trial={"unreadable": 3, "steps": "\x1b[31m"}
        )

    monkeypatch.setattr(sandboxing, "run", lying)

    verdict = await tried(MONTHLY, {"df": sales()})

    assert verdict.tried == "not tried: what the trial told cannot be read"


@pytest.mark.parametrize(
    "name",
    ["df['customer'][0]", "'second(' + df['customer'][0]", "'second(df, ' + df['customer'][0]"],
)
async def test_a_functions_name_is_no_way_out(name: str) -> None:
    """A function that is renamed after a value is told without it (S0-43)."""
    source = (
        f"def first(df):\n    second.__name__ = {name}\n\n\n"
        "def second(df):\n    raise ValueError('x')\n"
    )

    verdict = await tried(source, {"df": sales()})

    assert verdict.findings[0].startswith("line 6: a function, tried on a copy, raised ValueError")
    assert "person" not in str(verdict.to_dict())


async def test_a_new_variables_name_is_no_way_out() -> None:
    """A variable that a cell names after a value is told by its size alone (S0-43)."""
    source = "globals()[df['customer'][0].replace('-', '_')] = total = 1\n"

    verdict = await tried(source, {"df": sales()}, name=None)

    assert "-> something int, total int; df unchanged" in verdict.tried
    assert "person" not in str(verdict.to_dict())


WHO = "df['customer'][0].replace('-', '_')"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (f"return type({WHO}, (), {{}})()", "f(df) object;"),
        (f"return namedtuple({WHO}, 'a')(1)", "f(df) object of 1;"),
        (f"return type({WHO}, (list,), {{}})([1])", "f(df) object of 1;"),
        (f"return type({WHO}, (pd.DataFrame,), {{}})(df)", "f(df) object 24x3;"),
        (
            f"df.__class__ = type({WHO}, (pd.DataFrame,), {{}})",
            "changed in place (now object 24x3)",
        ),
        (f"df[{WHO}] = 1", "changed in place (now 24x4)"),
        (f"df.columns = [{WHO}, 'a', 'b']", "changed in place (its columns)"),
        (f"return pd.DataFrame({{{WHO}: [1]}})", "f(df) 1x1;"),
        (f"return setattr(f, {WHO}, 1)", "f(df) NoneType;"),
        (f"return getattr(df, {WHO})", ""),
        (f"return type({WHO}, (), {{}})().x", ""),
        (f"return type({WHO}, (), {{}})() + 1", ""),
        (f"return {{}}[type({WHO}, (), {{}})]", ""),
        (f"raise type({WHO}, (Exception,), {{}})({WHO})", ""),
        (f"raise ExceptionGroup({WHO}, [type({WHO}, (Exception,), {{}})()])", ""),
        (f"raise ModuleNotFoundError({WHO}, name={WHO})", ""),
        (f"raise NameError('name %r is not defined' % {WHO})", ""),
        (f"exec(compile({WHO} + ' !', {WHO}, 'exec'))", ""),
    ],
)
async def test_no_name_that_the_code_makes_is_a_way_out(body: str, told: str) -> None:
    """What code names after a value, be it a type, a column or an error, is told without it."""
    source = (
        f"from collections import namedtuple\n\nimport pandas as pd\n\n\ndef f(df):\n    {body}\n"
    )

    verdict = await tried(source, {"df": sales()}, trust="always")

    assert told in verdict.tried
    assert verdict.tried.startswith("tried on all 24 rows: ")
    assert "person" not in str(verdict.to_dict())


async def test_a_type_that_a_cell_names_is_no_way_out() -> None:
    """Of what a cell makes and shows, a type that is named after a value is an `object`."""
    source = f"made = type({WHO}, (), {{}})()\nmade\n"

    verdict = await tried(source, {"df": sales()}, name=None)

    assert "-> made object, shows object; df unchanged" in verdict.tried
    assert "person" not in str(verdict.to_dict())


TAKEN_OVER = """
import json
import os
import sys


def f(df):
    frame = sys._getframe()
    while "nonce" not in frame.f_locals:
        frame = frame.f_back
    nonce, channel = frame.f_locals["nonce"], frame.f_locals["channel"]

    def tell(**message):
        os.write(channel, json.dumps({"nonce": nonce, **message}).encode() + b"\\n")

    said = {"error": "ValueError", "bases": [], "message": "", "line": 4711, "missing": None,
            "own": True, "package": ""}
    step = {"what": "f(df)", "seconds": 4711, "error": said, "changed": {}}
    late = {**step, "error": {**said, "error": "TimeIsUpError"}}
    tell(kind="trial", seen={"unreadable": {}, "steps": [step, late], "more": 0, "late": False})
    tell(kind="end")
    os._exit(0)
"""


async def test_numbers_that_a_child_makes_up_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a child that was taken over no line is believed that the code does not have (S0-43)."""
    real = sandboxing.run

    async def failing(job: SandboxJob) -> SandboxResult:
        failure = ImportFailure(error="ValueError", line=4711) if job.trial is not None else None
        return replace(await real(job), trial=None, failure=failure)

    called = await tried(TAKEN_OVER, {"df": sales()})
    monkeypatch.setattr(sandboxing, "run", failing)
    imported = await tried(TAKEN_OVER, {"df": sales()})

    assert called.findings[0] == "f(df), tried on a copy, raised ValueError"
    assert called.findings[1] == "f(df) was not done after 120 s on all 24 rows"
    assert imported.findings[0] == "in the trial on a copy it does not import: ValueError: "
    assert "4711" not in str([*called.findings, *imported.findings])


# -- isolation -------------------------------------------------------------------------------------


async def test_no_other_check_has_the_copies_in_reach() -> None:
    """Import and ordinary examples run where no copy lies: their findings hold no value."""
    source = (
        "import os\n\n\ndef seen():\n    return sorted(os.listdir())\n\n\n"
        "def f(df):\n    return 1\n"
    )
    prompt = "List.\n\n>>> seen()\n['nothing']\n>>> f(df)\n1\n"

    verdict = await tried(source, {"df": sales()}, prompt=prompt)

    assert "['sales.py']" in verdict.findings[0]
    assert verdict.examples[1].status == "passed"


async def test_a_module_that_imports_only_without_the_copy_tells_nothing() -> None:
    """What an import raises in the trial is redacted, too."""
    source = (
        "import glob\nfor name in glob.glob('*copy*'):\n"
        "    raise ValueError(open(name, 'rb').read()[-40:])\n\n\ndef f(df):\n    return 1\n"
    )

    verdict = await tried(source, {"df": sales()}, trust="always")

    assert verdict.proof == "failed"
    assert "in the trial on a copy it does not import: ValueError" in verdict.findings[0]
    assert "person" not in str(verdict.to_dict())


@pytest.mark.parametrize("warm", [False, True])
async def test_cold_and_warm_sandboxes_say_the_same(warm: bool) -> None:
    """A trial in a forked process is the same as in one that is started for it."""
    for _ in range(2):
        verdict = await tried(MONTHLY, {"df": sales(5000)}, sandbox_warm=warm)

        assert "df 1000x3 -> monthly(df) 12x1; df unchanged" in verdict.tried


@pytest.mark.parametrize(
    ("source", "held"),
    [("def f(df):\n    df.to_csv('x')\n", True), ("def f(df):\n    return 1\n", False)],
)
async def test_code_that_reaches_out_has_to_be_held(
    source: str, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that is held less than was thought does not try code that can write (S0-43)."""
    real, jobs = sandboxing.run, []

    async def noted(job: SandboxJob) -> SandboxResult:
        jobs.append(job)
        return await real(job)

    monkeypatch.setattr(sandboxing, "run", noted)

    await tried(source, {"df": sales()})

    assert [job.confined for job in jobs if job.trial is not None] == [held]


async def test_a_crash_is_the_codes_fault() -> None:
    """Code that ends the process on the data is not registered."""
    source = "import os\n\n\ndef f(df):\n    os._exit(3)\n"

    verdict = await tried(source, {"df": sales()}, trust="always")

    assert verdict.proof == "failed"
    assert verdict.findings[0] == (
        "in the trial on a copy: the process ended itself (exit code 3) (all 24 rows)"
    )
