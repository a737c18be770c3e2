"""An answer tried on copies of variables, as the road does it, without a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from llmport_magic.modules.examples import parse_examples
from llmport_magic.modules.trial.samples import Trying
from llmport_magic.modules.verification import Verdict, check_plain, verify
from llmport_magic.notebook.context import named
from llmport_magic.notebook.sampling import Copies
from llmport_magic.settings import resolve

MONTHLY = '''import pandas as pd


def monthly(df: pd.DataFrame) -> pd.DataFrame:
    """Totals by month."""
    return df.groupby("month")[["Revenue"]].sum()
'''
BODY = 'return df.groupby("month")[["Revenue"]].sum()'


def sales(rows: int = 24) -> pd.DataFrame:
    """Give a table whose texts are to be found nowhere but in it."""
    return pd.DataFrame(
        {
            "month": np.arange(rows) % 12,
            "Revenue": np.arange(rows) * 1.5,
            "customer": [f"person-{number:07}" for number in range(rows)],
        }
    )


async def tried(
    source: str,
    variables: Mapping[str, Any],
    *,
    prompt: str = "Totals.",
    items: Sequence[str] | None = None,
    name: str | None = "sales",
    context: str | None = None,
    **settings: Any,
) -> Verdict:
    """Check a source with all variables named, or those in `items`; columns count as sent."""
    values = resolve(**{"sandbox_warm": False, "sandbox_seconds": 120.0, **settings})
    copies = Copies(named(tuple(items or variables)), prompt, variables, values.trial_rows)
    if context is None:
        context = str([list(getattr(value, "columns", ())) for value in variables.values()])
    trying = Trying(
        copies.take,
        names=copies.names,
        prompt=prompt,
        context=context,
        user_names=frozenset(variables),
    )
    if name is None:
        return await check_plain(source, values, trying=trying)
    return await verify(
        source,
        module_name=name,
        examples=parse_examples(prompt),
        settings=values,
        variables=copies.names,
        trying=trying,
    )


def exists(path: str) -> bool:
    """Tell whether something has written there."""
    return Path(path).exists()
