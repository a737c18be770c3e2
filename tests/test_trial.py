"""An answer is tried in the sandbox on a copy of the data, and the cell says what happened."""

from __future__ import annotations

import importlib
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from trials import BODY, MONTHLY, exists, sales, tried

from llmport_magic.modules.sandbox import sandboxing
from llmport_magic.modules.sandbox.job import SandboxJob, SandboxResult
from llmport_magic.modules.sandbox.process import CHILD


async def test_a_module_is_tried_on_a_sample() -> None:
    """A function that takes the named variable runs on 1,000 rows, in one line."""
    verdict = await tried(MONTHLY, {"df": sales(5000)})

    assert verdict.proof == "unverified"
    assert verdict.findings == ()
    assert re.fullmatch(
        r"tried on 1,000 sampled rows: (under 0\.1 s|\d+\.\d s); "
        r"df 1000x3 -> monthly\(df\) 12x1; df unchanged",
        verdict.tried,
    )


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (sales(1), "1 row"),
        (sales(0), "0 rows"),
        (np.ones((2, 2)), "all 2 rows"),
        ({"march": sales()}, "1 item"),
        ([1, 2, 3], "all 3 items"),
    ],
)
async def test_what_was_tried_is_counted(value: Any, amount: str) -> None:
    """Tables have rows, and containers items, be it one or none."""
    verdict = await tried("def f(x):\n    return 1\n", {"x": value})

    assert verdict.tried.startswith(f"tried on {amount}: ")


async def test_small_data_is_tried_whole() -> None:
    """A table of fewer rows is copied whole, and the line says so."""
    verdict = await tried(MONTHLY, {"df": sales(24)})

    assert verdict.tried.startswith("tried on all 24 rows: ")
    assert "df 24x3 -> monthly(df) 12x1; df unchanged" in verdict.tried


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ('df["total"] = 1', "now 24x4"),
        ('df["Revenue"] += 1', "its values"),
        ('df.loc[:, "month"] = 0', "its values"),
        ('df.rename(columns={"month": "m"}, inplace=True); df["month"] = df["m"]', "now 24x4"),
        ('df.columns = ["month", "Revenue", "who"]', "its columns"),
        ("df.index = df.index + 5", "its index"),
    ],
)
async def test_a_change_in_place_is_told(line: str, where: str) -> None:
    """What a function changes of its argument stands in the line."""
    source = MONTHLY.replace(BODY, f"{line}\n    {BODY}")

    verdict = await tried(source, {"df": sales()})

    assert f"df changed in place ({where})" in verdict.tried


NAN = float("nan")
CELLS = pd.DataFrame({"a": [1, 2, 3], "o": [[1, 2], {"k": np.array([1, 2])}, NAN]})
CELLS["b"] = [4, 5, 6]
GROUPS = sales().groupby("month")


@pytest.mark.parametrize(
    ("value", "look", "told"),
    [
        (pd.DataFrame({"v": range(3)}, index=[1.0, NAN, 2.0]), "len(x)", "x unchanged"),
        (pd.DataFrame([[1, 2]], columns=["a", NAN]), "len(x)", "x unchanged"),
        (
            pd.DataFrame({"v": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1.0), ("b", NAN)])),
            "len(x)",
            "x unchanged",
        ),
        (pd.Series([1, 2], index=pd.Index([("a", NAN), 1], dtype=object)), "len(x)", "x unchanged"),
        (pd.Series([{"k": np.array([1, 2])}, NAN]), "x.map(str)", "x unchanged"),
        # Consolidating puts the columns into one block.
        (CELLS, "x._consolidate_inplace()", "x unchanged"),
        (CELLS, 'x["o"].iloc[0].append(3)', "x changed in place (its values)"),
        (GROUPS, "id(x)", "x unchanged"),
        (GROUPS, 'x["Revenue"].sum()', "x not compared"),
        ([GROUPS], "len(x)", "x unchanged"),
        (pd.Index([1.0, NAN]), "x.sum()", "x unchanged"),
    ],
)
async def test_what_is_only_looked_at_is_not_changed(value: Any, look: str, told: str) -> None:
    """A value that equals not even itself is unchanged where nothing touched it."""
    verdict = await tried(f"def f(x):\n    {look}\n", {"x": value})

    assert verdict.tried.endswith(f"; {told}")


async def test_an_invented_column_is_found() -> None:
    """A column that is not there is a finding with its line and the columns, nearest first."""
    source = MONTHLY.replace("Revenue", "revenue")

    verdict = await tried(source, {"df": sales()})

    assert verdict.proof == "failed"
    assert verdict.findings[0].startswith(
        "line 6: df has no column 'revenue'; its columns are 'Revenue', "
    )


@pytest.mark.parametrize(
    "body",
    [
        'return df["revenue"]',
        "return df.revenue",
        'return df.sort_values("revenue")',
        'return df.groupby("revenue").size()',
        'return df[["month", "revenue"]]',
        'return df.loc[:, "revenue"]',
        'return df.set_index("revenue")',
        'return df.drop(columns=["revenue"])',
        'return df.query("revenue > 3")',
        'return df.pivot_table(index="month", values="revenue")',
        'return df.groupby("month").agg(total=("revenue", "sum"))',
        'return df.merge(df, on="revenue")',
        'return df.dropna(subset=["revenue"])',
        "return df.assign(x=lambda d: d.revenue * 2)",
        'return df.groupby("month")["revenue"].sum()',
    ],
)
async def test_an_invented_column_is_found_however_it_is_asked_for(body: str) -> None:
    """Each of pandas' ways to name a column tells which one is not there."""
    verdict = await tried(MONTHLY.replace(BODY, body), {"df": sales()})

    assert verdict.proof == "failed"
    assert "df has no column 'revenue'; its columns are 'Revenue'" in verdict.findings[0]


async def test_a_method_that_is_not_there_is_no_column() -> None:
    """An invented method is told as what it is."""
    verdict = await tried(MONTHLY.replace(BODY, "return df.totals_by(1)"), {"df": sales()})

    assert verdict.proof == "failed"
    assert (
        "raised AttributeError: 'DataFrame' object has no attribute 'totals_by'"
        in (verdict.findings[0])
    )


async def test_columns_that_were_not_sent_are_not_told() -> None:
    """A finding goes to a provider: it names no column that the description left out."""
    verdict = await tried(
        MONTHLY.replace("Revenue", "revenue"), {"df": sales()}, context="'month': int64"
    )

    assert "its columns are 'month'" in verdict.findings[0]
    assert "Revenue" not in " ".join(verdict.findings)


async def test_what_the_sample_may_lack_is_no_fault() -> None:
    """A row that only the whole may have fails no module, and the line says so."""
    source = MONTHLY.replace(BODY, "return df.iloc[4000]")

    sampled = await tried(source, {"df": sales(5000)})
    whole = await tried(source, {"df": sales(24)})

    assert sampled.proof == "unverified"
    assert "monthly(df) raised IndexError at line 6: the whole may differ" in sampled.tried
    assert whole.proof == "failed"


async def test_a_hang_is_a_finding_with_its_line() -> None:
    """Code that never ends on a sample is found, with the line and the time."""
    # A list, which needs no library: where loading one takes most of the time it is no finding.
    source = "def largest(prices):\n    while True:\n        pass\n"

    verdict = await tried(source, {"prices": list(range(5000))}, sandbox_seconds=30.0)

    assert verdict.proof == "failed"
    assert re.match(
        r"line [23]: largest\(prices\) was not done after \d+ s on 1,000 sampled items",
        verdict.findings[0],
    )


async def test_a_hang_that_nothing_interrupts_is_a_finding() -> None:
    """Code that swallows every exception is ended from outside."""
    source = (
        "def largest(prices):\n    while True:\n        try:\n            1 + 1\n"
        "        except BaseException: pass\n"
    )

    verdict = await tried(source, {"prices": list(range(5000))}, sandbox_seconds=24.0)

    assert verdict.proof == "failed"
    # The alarm may also hit the loop where nothing catches it.
    ends = ("did not finish within 24 s", "ended by signal", "was not done after")
    assert any(end in verdict.tried for end in ends)


async def test_slow_code_is_told_for_the_whole() -> None:
    """What takes long for each row is told for all rows, as an estimate, and is no failure."""
    source = MONTHLY.replace(BODY, f"import time\n    time.sleep(len(df) * 0.0003)\n    {BODY}")

    verdict = await tried(source, {"df": sales(200_000)})

    assert verdict.proof == "unverified"
    told = r" s for 1,000 of 200,000 rows: about \d+ (s|min|h) for all if linear"
    assert re.search(told, verdict.tried)


@pytest.fixture
def sleeping_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Run trials in this process, where no time goes by but what the code sleeps."""
    now, real, own, asleep = [0.0], sandboxing.run, threading.get_ident(), time.sleep

    def sleep(seconds: float) -> None:
        # Other threads sleep in truth.
        asleep(seconds) if threading.get_ident() != own else now.append(now[-1] + seconds)

    async def inside(job: SandboxJob) -> SandboxResult:
        result = await real(replace(job, trial=None))
        if job.trial is None:
            return result
        for name, data in job.files.items():
            (tmp_path / name).write_bytes(data)
        module, seen = ModuleType(job.module_name), None
        with monkeypatch.context() as patched:
            patched.chdir(tmp_path)
            patched.setattr(time, "sleep", sleep)
            exec(job.source, vars(module))
            seen = trial_child.run(job.trial, module, "sales.py", describe)
        return replace(result, trial=seen)

    monkeypatch.syspath_prepend(str(CHILD.parent))
    describe = importlib.import_module("sandbox_child").describe
    trial_child: Any = importlib.import_module("trial_child")
    clock = SimpleNamespace(perf_counter=lambda: now[-1], monotonic=time.monotonic)
    monkeypatch.setattr(trial_child, "time", clock)
    monkeypatch.setattr(trial_child, "_set_alarm", lambda _: None)
    monkeypatch.setattr(sandboxing, "run", inside)
    yield
    for name in ("sandbox_child", "trial_child", "trial_functions", "trial_values"):
        del sys.modules[name]


@pytest.mark.usefixtures("sleeping_only")
async def test_the_estimate_is_what_each_row_takes() -> None:
    """Of 0.3 ms for each row it is told that 200,000 of them take a minute."""
    source = MONTHLY.replace(BODY, f"import time\n    time.sleep(len(df) * 0.0003)\n    {BODY}")

    verdict = await tried(source, {"df": sales(200_000)})

    assert "0.3 s for 1,000 of 200,000 rows: about 60 s for all if linear" in verdict.tried


@pytest.mark.usefixtures("sleeping_only")
async def test_what_a_first_call_costs_is_not_multiplied() -> None:
    """An import or a first use, which takes the same for any number of rows, is told apart."""
    source = MONTHLY.replace(
        BODY,
        "import time\n    global _ready\n    time.sleep(0 if _ready else 0.3)\n    _ready = True\n"
        f"    {BODY}",
    ).replace("def monthly", "_ready = False\n\n\ndef monthly")

    verdict = await tried(source, {"df": sales(200_000)})

    assert "tried on 1,000 sampled rows: 0.3 s; " in verdict.tried
    assert "for all if linear" not in verdict.tried


async def test_no_function_takes_it() -> None:
    """A module that has no use for the variable is not tried, and the line says why."""
    verdict = await tried("def area(radius: float) -> float:\n    return radius\n", {"df": sales()})

    assert verdict.tried == "not tried: no function takes `df`"
    assert verdict.proof == "unverified"


async def test_a_function_by_the_name_of_its_parameter_comes_first() -> None:
    """Only functions whose parameters have the variables' names run, with all of them."""
    source = (
        "def scale(prices, factor):\n    return [p * factor for p in prices]\n\n\n"
        "def other(x):\n    raise ValueError\n"
    )

    verdict = await tried(source, {"prices": [1, 2, 3], "factor": 2})

    assert "-> scale(prices, factor) list of 3;" in verdict.tried
    assert "prices unchanged" in verdict.tried
    assert verdict.proof == "unverified"


async def test_a_guess_is_no_proof_against_the_code() -> None:
    """A function that may well be for something else fails no module."""
    verdict = await tried("def shout(word):\n    return word.upper()\n", {"df": sales()})

    assert verdict.proof == "unverified"
    assert "shout(df) raised AttributeError at line 2" in verdict.tried


@pytest.mark.parametrize(
    ("source", "variable", "gave"),
    [
        ("def f(df):\n    yield from df.columns\n", sales(), "f(df) list of 3"),
        ("async def f(df):\n    return len(df)\n", sales(), "f(df) int"),
        ("def f(df):\n    return df['Revenue']\n", sales(), "f(df) Series 24"),
        ("def f(df):\n    return df.to_numpy()\n", sales(), "f(df) ndarray 24x3"),
        ("def f(df):\n    return None\n", sales(), "f(df) NoneType"),
        ("def f(df):\n    return df.sum()\n", np.ones((5000, 3)), "f(df) float64"),
        ("def f(df):\n    return sorted(df)\n", {3, 1, 2}, "f(df) list of 3"),
        ("def f(df):\n    return df['a']\n", {"a": 1}, "f(df) int"),
    ],
)
async def test_results_are_told_by_type_and_size(source: str, variable: object, gave: str) -> None:
    """The line has what a result is and how large, never what is in it."""
    verdict = await tried(source, {"df": variable})

    assert gave in verdict.tried
    assert verdict.proof == "unverified"


async def test_a_figure_is_told_by_its_type() -> None:
    """A plot is tried like anything else; no window and no file is needed."""
    source = (
        "import matplotlib.pyplot as plt\n\n\ndef plot(df):\n    figure, axes = plt.subplots()\n"
        "    axes.plot(df['Revenue'])\n    return figure\n"
    )

    verdict = await tried(source, {"df": sales()})

    assert "plot(df) Figure" in verdict.tried
    assert verdict.proof == "unverified"


async def test_code_that_writes_is_not_at_fault(tmp_path: Path) -> None:
    """What only the sandbox forbids is told as such."""
    file = str(tmp_path / "trial.csv")
    source = f"def save(df):\n    df.to_csv({file!r})\n"

    verdict = await tried(source, {"df": sales()})

    assert verdict.proof == "unverified"
    assert "the sandbox does not allow what it does" in verdict.tried
    assert not exists(file)


async def test_code_that_acts_is_not_tried_where_nothing_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where this system cannot confine it, a function that writes is not called."""
    monkeypatch.setattr(sandboxing, "level", lambda: "rlimits only")

    verdict = await tried("def save(df):\n    df.to_csv('x.csv')\n", {"df": sales()})

    assert verdict.tried == "not tried: the code can use files, and this system cannot confine it"


# -- polars ----------------------------------------------------------------------------------------

POLARS = """import polars as pl


def monthly(df: pl.DataFrame) -> pl.DataFrame:
    return df.group_by("month").agg(pl.col("Revenue").sum())
"""


async def test_a_polars_table_is_tried_like_any() -> None:
    """Where polars is installed, its tables are sampled, tried and compared, too."""
    pl = pytest.importorskip("polars")
    frame = pl.from_dict({name: list(column) for name, column in sales(5000).items()})

    good = await tried(POLARS, {"df": frame})
    invented = await tried(POLARS.replace("Revenue", "revenue"), {"df": frame})
    lazy = await tried(POLARS, {"df": frame.lazy()}, context="")

    assert "df 1000x3 -> monthly(df) 12x2; df unchanged" in good.tried
    assert invented.findings[0].startswith("line 5: df has no column 'revenue'; its columns are")
    assert lazy.tried == "not tried: `df` cannot be copied (it is a LazyFrame, not computed yet)"
