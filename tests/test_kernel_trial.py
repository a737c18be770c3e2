"""`--with` in a real kernel: the answer is tried on a copy, and the cell says what happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import Kernel, kernel
from loopback import Loopback, Request, Script, streamed
from test_kernel import answer

pytestmark = pytest.mark.kernel

SETUP = """
from scripted import fenced, scripted
from llmport_magic import configure
configure(provider="scripted", sandbox_warm=False)
_manager = scripted()
script = _manager.__enter__()
import pandas as pd, numpy as np
df = pd.DataFrame({"month": np.arange(5000) % 12, "Revenue": np.arange(5000) * 1.5,
                   "customer": ["person-%07d" % n for n in range(5000)]})
kept, same = df.copy(deep=True), df
GOOD = '''import pandas as pd


def monthly(df: pd.DataFrame) -> pd.DataFrame:
    \\"\\"\\"Totals by month.\\"\\"\\"
    return df.groupby("month")[["Revenue"]].sum()
'''
INVENTED = GOOD.replace("Revenue", "revenue")
"""
CELL = "%%llmport sales --with df\nTotals by month.\n"
UNCHANGED = "df is same, df.equals(kept), list(df.columns)"
AS_IT_WAS = "(True, True, ['month', 'Revenue', 'customer'])"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel with a table and a provider that answers what a test scripts."""
    with kernel(tmp_path / "work") as running:
        outcome = running.run(SETUP)
        assert outcome.status == "ok", outcome.error
        yield running


def test_the_cell_says_what_happened_on_the_sample(shell: Kernel) -> None:
    """A module is tried on a copy before the user has it; the table stays as it is."""
    answer(shell, "fenced(GOOD)")

    outcome = shell.run(CELL, cell_id="p1")

    assert outcome.status == "ok", outcome.shown
    assert "  tried on 1,000 sampled rows: " in outcome.shown
    assert "; df 1000x3 -> monthly(df) 12x1; df unchanged" in outcome.shown
    assert shell.value(UNCHANGED) == AS_IT_WAS
    assert shell.value("sales.monthly(df).shape") == "(12, 1)"


def test_an_invented_column_is_caught_and_worked_on(shell: Kernel) -> None:
    """The first answer's column is not there; the second one's is, and both are told (S0-26)."""
    answer(shell, "fenced(INVENTED)", "fenced(GOOD)")

    outcome = shell.run(CELL, cell_id="p1")

    assert outcome.status == "ok", outcome.shown
    assert "attempt 1: line 6: df has no column 'revenue'; its columns are 'Revenue'" in (
        outcome.shown
    )
    assert "monthly(df) 12x1" in outcome.shown
    assert shell.value("script.calls") == "2"
    asked = shell.value("script.prompts[1]")
    assert "df has no column" in asked
    assert "person-" not in asked
    checks = [
        line
        for path in sorted((shell.folder / ".llmport" / "journal").glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if '"VERIFY"' in line
    ]
    assert "df has no column" in checks[0]
    assert "tried on 1,000 sampled rows" in checks[1]
    assert "person-" not in "".join(checks)


def test_a_plain_cell_is_tried(shell: Kernel) -> None:
    """The code of a plain cell is tried too, with the notebook's `pd`, and then worked on."""
    answer(
        shell, "fenced('x = df.revenue.sum()\\n')", "fenced('total = pd.DataFrame(df.sum())\\n')"
    )

    outcome = shell.run("%%llmport --with df\nSum it up.\n", cell_id="p1")

    assert outcome.status == "ok", outcome.shown
    assert "line 1: df has no column 'revenue'" in outcome.shown
    assert "-> total 3x1; df unchanged" in outcome.shown
    assert outcome.next_cell.strip() == "total = pd.DataFrame(df.sum())"
    assert shell.value("'total' in globals()") == "False"


def test_a_reused_version_shows_no_trial(shell: Kernel) -> None:
    """A stored version keeps its line, but shows none: the data may be another today."""
    answer(shell, "fenced(GOOD)")
    shell.run(CELL, cell_id="p1")

    again = shell.run(CELL, cell_id="p1")

    assert "reused, 0 tokens" in again.shown
    assert "tried on" not in again.shown
    stored = "".join(
        path.read_text(encoding="utf-8")
        for path in (shell.folder / ".llmport" / "modules").rglob("*")
        if path.is_file()
    )
    assert "tried on 1,000 sampled rows" in stored
    assert "person-" not in stored


def test_the_copies_are_taken_once_and_only_to_check(shell: Kernel) -> None:
    """However many answers are tried, the namespace is read once; and never for a stored one."""
    shell.run(
        "from llmport_magic.notebook import sampling\n_real, taken = sampling.take_samples, []\n"
        "def _count(*a, **k):\n    taken.append(1)\n    return _real(*a, **k)\n"
        "sampling.take_samples = _count\n"
    )
    answer(shell, "fenced(INVENTED)", "fenced(INVENTED + '# again\\n')", "fenced(GOOD)")

    first = shell.run(CELL, cell_id="p1")
    assert first.status == "ok", first.shown
    assert shell.value("len(taken)") == "1"
    shell.run(CELL, cell_id="p1")
    assert shell.value("len(taken)") == "1"


def test_examples_may_use_what_is_named(shell: Kernel) -> None:
    """An example on `df` needs `--with df`; then it is checked on the copy."""
    prompt = "Totals by month.\n\n>>> sales.monthly(df).shape\n(12, 1)\n"
    answer(shell, "fenced(GOOD)")

    without = shell.run(f"%%llmport sales\n{prompt}", cell_id="p1")
    named = shell.run(f"%%llmport sales --with df\n{prompt}", cell_id="p2")

    assert without.status == "error"
    assert "name it with `--with df`" in without.error
    assert named.status == "ok", named.shown
    assert "1 of 1 example passed" in named.shown
    assert "tried on all 5,000 rows" in named.shown


def test_a_draft_is_tried_and_a_preview_is_not(shell: Kernel) -> None:
    """`--draft` tries the answer; `--preview` asks for none (S0-43)."""
    answer(shell, "fenced(GOOD)")

    draft = shell.run("%%llmport sales --with df --draft\nTotals by month.\n", cell_id="p1")
    preview = shell.run("%%llmport sales --with df --preview\nTotals by month.\n", cell_id="p2")

    assert "tried on 1,000 sampled rows" in draft.shown
    assert "tried on" not in preview.shown


def test_no_rows_no_trial(shell: Kernel) -> None:
    """`trial_rows = 0` tries nothing."""
    shell.run("configure(trial_rows=0)")
    answer(shell, "fenced(GOOD)")

    outcome = shell.run(CELL, cell_id="p1")

    assert outcome.status == "ok", outcome.shown
    assert "tried" not in outcome.shown


def test_a_million_rows(shell: Kernel) -> None:
    """A table of a million rows is tried on a thousand of them, and stays as it is."""
    shell.run(
        "df = pd.concat([df] * 200, ignore_index=True)\nkept, same = df.copy(deep=True), df\n"
    )
    answer(shell, "fenced(GOOD)")

    outcome = shell.run(CELL, cell_id="p1")

    assert "tried on 1,000 sampled rows" in outcome.shown
    assert "df 1000x3 -> monthly(df) 12x1" in outcome.shown
    assert shell.value(f"len(df), {UNCHANGED}") == f"(1000000, {AS_IT_WAS[1:]}"


def test_what_cannot_be_copied_is_said(shell: Kernel) -> None:
    """A lock, a generator or an object of the notebook's own class is named; all else goes on."""
    shell.run("import threading\nclass Own: pass\nthing, lock = Own(), threading.Lock()")
    answer(shell, "fenced('def f(thing):\\n    return 1\\n')")

    outcome = shell.run("%%llmport things --with thing,lock\nDo it.\n", cell_id="p1")

    assert outcome.status == "ok", outcome.shown
    assert "`thing` cannot be copied (`Own` is defined in this notebook)" in outcome.shown
    assert "`lock` cannot be copied (it holds a `_thread.lock`)" in outcome.shown


HOSTILE = {
    "reads the files": (
        "import glob\n\n\ndef monthly(df):\n    names = glob.glob('*')\n"
        "    raise ValueError(open([n for n in names if 'copy' in n][0], 'rb').read())\n"
    ),
    "patches pandas": (
        "import pandas as pd\n\n\ndef monthly(df):\n    pd.DataFrame.sum = None\n"
        "    df['customer'] = 'x'\n    df.drop(df.index, inplace=True)\n    return df\n"
    ),
    "has a huge text": (
        "class Huge:\n    def __repr__(self):\n        return 'x' * 10**9\n\n\n"
        "def monthly(df):\n    return Huge()\n"
    ),
    "names its exception after a value": (
        "def monthly(df):\n    raise type(df['customer'].iloc[0], (Exception,), {})()\n"
    ),
    "raises a value": "def monthly(df):\n    raise ValueError(df['customer'].iloc[3])\n",
    "asks for a value as a column": "def monthly(df):\n    return df[df['customer'].iloc[3]]\n",
    "imports a value": "def monthly(df):\n    return __import__(df['customer'].iloc[3])\n",
    "has a value as the name of a tuple's type": (
        "from collections import namedtuple\n\n\ndef monthly(df):\n"
        "    return namedtuple(df['customer'].iloc[3].replace('-', '_'), 'a')(1)\n"
    ),
    "has a value in its class": (
        "def monthly(df):\n    return type(df['customer'].iloc[3].replace('-', '_'), (), {})()\n"
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_answer_changes_and_tells_nothing(kind: str, tmp_path: Path) -> None:
    """Whatever an answer does with the copy: the table stays, and no cell of it is sent (S0-43).

    The wire is a real one: what the second request holds is what the provider would get.
    """
    answers = [f"```python\n{HOSTILE[kind]}```", "```python\ndef monthly(df):\n    return 1\n```"]
    with Loopback() as server, kernel(tmp_path / "work") as shell:

        def reply(_: Request) -> Script:
            return streamed(answers[min(len(server.requests), 2) - 1])

        server.always(reply)
        outcome = shell.run(SETUP)
        assert outcome.status == "ok", outcome.error
        shell.run(
            f"configure(provider='local', base_url={server.url!r}, model='m-1', "
            "api_key='planted-key-0123456789abcdef', trust='always')"
        )

        outcome = shell.run(CELL, cell_id="p1")

        assert outcome.status == "ok", outcome.shown
        assert shell.value(UNCHANGED) == AS_IT_WAS
        assert shell.value("pd.DataFrame.sum is not None") == "True"
        sent = b"".join(request.body for request in server.requests)
        assert b"customer" in sent
        assert b"person" not in sent
        stored = b"".join(
            path.read_bytes() for path in (shell.folder / ".llmport").rglob("*") if path.is_file()
        )
        assert b"person" not in stored
