"""Examples of the prompt that use what `--with` names run on the copy, and count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from trials import MONTHLY, sales, tried

from llmport_magic.modules.examples import parse_examples
from llmport_magic.modules.trial.samples import named_variables
from llmport_magic.modules.verification import verify
from llmport_magic.settings import resolve


@dataclass
class _Stored:
    """A version with its options."""

    options: dict[str, str]


async def test_examples_on_a_variable_run_on_the_copy() -> None:
    """An example may use what `--with` names, and counts as one."""
    prompt = "Totals.\n\n>>> sales.monthly(df).shape\n(12, 1)\n>>> 1 + 1\n2\n"

    good = await tried(MONTHLY, {"df": sales()}, prompt=prompt)
    bad = await tried(MONTHLY, {"df": sales()}, prompt=prompt.replace("12, 1", "12, 3"))

    assert good.proof == "passed"
    assert good.line().startswith("2 of 2 examples passed")
    assert bad.proof == "failed"
    assert bad.findings[0].startswith("line 3: sales.monthly(df).shape gave (")


@pytest.mark.parametrize("body", ["return one", "print(one)", "raise ValueError(one)"])
async def test_what_an_example_gave_of_the_data_is_not_told(body: str) -> None:
    """A finding has no value of the copy, whether it is given, printed or raised (S0-43)."""
    source = f"def first(df):\n    one = df['customer'].iloc[3]\n    {body}\n"
    prompt = "The first one.\n\n>>> first(df)\n'nobody'\n"

    verdict = await tried(source, {"df": sales()}, prompt=prompt)

    assert verdict.proof == "failed"
    assert "<value>" in verdict.findings[0]
    assert "'nobody'" in verdict.findings[0]
    assert "person-0000003" in verdict.seen
    assert "person" not in str(verdict.to_dict())


async def test_examples_on_a_variable_see_all_of_it() -> None:
    """What an example says of a table holds for the table, not for a sample."""
    prompt = "Totals.\n\n>>> len(df)\n5000\n>>> sales.monthly(df).shape\n(12, 1)\n"

    verdict = await tried(MONTHLY, {"df": sales(5000)}, prompt=prompt)

    assert verdict.proof == "passed"
    assert verdict.tried.startswith("tried on all 5,000 rows: ")


async def test_an_example_that_differs_on_a_sample_is_not_proven() -> None:
    """Of a table that is too large to be copied whole, the line does not say `not run`."""
    large = pd.DataFrame({"a": np.zeros(7_000_000)})
    source = "def rows(df):\n    return len(df)\n"
    prompt = "Count.\n\n>>> rows(df)\n7000000\n"

    alone = await tried(source, {"df": large}, prompt=prompt)
    more = await tried(source, {"df": large}, prompt=f"{prompt}>>> rows([1])\n1\n>>> open('x')\n")

    assert alone.proof == "unverified"
    assert alone.line().startswith("1 example not proven (differs on the sample) · ")
    assert more.line().startswith(
        "1 of 1 example passed, 1 not proven (differs on the sample), 1 not run · "
    )


async def test_examples_that_need_each_other_run_together() -> None:
    """A name that an example binds is there for the next one, on the copy, too."""
    prompt = "Totals.\n\n>>> months = 12\n>>> m = sales.monthly(df)\n>>> len(m) == months\nTrue\n"

    verdict = await tried(MONTHLY, {"df": sales()}, prompt=prompt)

    assert verdict.proof == "passed"
    assert [outcome.status for outcome in verdict.examples] == ["passed"] * 3


async def test_without_copies_such_examples_are_not_run() -> None:
    """A version that is checked in another notebook is not failed for a variable's absence."""
    verdict = await verify(
        MONTHLY,
        module_name="sales",
        examples=parse_examples(">>> sales.monthly(df).shape\n(12, 1)\n"),
        settings=resolve(),
        variables=named_variables([_Stored({"with": "df:rows=5"})]),
    )

    assert verdict.proof == "unverified"
    assert verdict.examples[0].reason == "it needs a variable of the notebook"


def test_the_variables_of_a_stored_version() -> None:
    """Which variables a version's examples may use is read from its options."""
    stored = [
        _Stored({"with": "df:rows=5, cell:3,clean:source"}),
        _Stored({"with": "pd.DataFrame"}),
    ]

    assert named_variables([*stored, _Stored({})]) == {"df", "clean", "pd"}
    assert named_variables([]) == frozenset()
