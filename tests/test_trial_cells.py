"""The code of a plain cell is tried on copies, as a module's functions are."""

from __future__ import annotations

import pandas as pd
from trials import sales, tried


async def test_a_cell_is_tried() -> None:
    """The code of a plain cell runs on copies; what it makes is told by name and size."""
    source = "monthly = df.groupby('month')[['Revenue']].sum()\nprint('x')\nmonthly.head()\n"

    verdict = await tried(source, {"df": sales(5000)}, name=None)

    assert verdict.proof == "unverified"
    assert "df 1000x3 -> monthly 12x1, shows 5x1; df unchanged" in verdict.tried


async def test_a_cell_that_rebinds_its_variable() -> None:
    """A variable that a cell changes or binds anew is told."""
    verdict = await tried("df = df.dropna().head(3)\n", {"df": sales()}, name=None)

    assert "df changed (now 3x3)" in verdict.tried


async def test_a_cell_may_use_the_notebooks_modules() -> None:
    """`pd` is what the notebook calls pandas; other names are no fault of the code."""
    variables = {"df": sales(), "pd": pd, "other": 3}

    modules = await tried("new = pd.concat([df, df])\n", variables, items=["df"], name=None)
    others = await tried("new = df['Revenue'] * other\n", variables, items=["df"], name=None)

    assert "-> new 48x3" in modules.tried
    assert others.proof == "unverified"
    assert "it uses `other`, which only the notebook has" in others.tried


async def test_a_cell_that_fails_is_a_finding() -> None:
    """A cell with an invented column goes back to the model."""
    verdict = await tried("x = 1\ny = df['revenue'].sum()\n", {"df": sales()}, name=None)

    assert verdict.proof == "failed"
    assert verdict.findings[0].startswith("line 2: df has no column 'revenue'")


async def test_a_cell_that_may_not_run_is_not_tried() -> None:
    """Code that the policy refuses when it runs is not run for a trial."""
    verdict = await tried(
        "import subprocess\nsubprocess.run(['true'])\n", {"df": sales()}, name=None
    )

    assert verdict.tried.startswith("not tried: line 2: ")
