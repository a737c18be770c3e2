"""What is sent after a failed trial: over a real wire, no value of the data is in it."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from awaiting import PATIENCE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import Loopback, Request, Script, streamed

from llmport_magic import bridge
from llmport_magic.llm.registry import close_connectors
from llmport_magic.modules.trial.samples import Samples
from llmport_magic.notebook.context import Context, named
from llmport_magic.notebook.sampling import Copies
from llmport_magic.pipeline import write
from llmport_magic.progress import Checked, ModuleRequest, Stored
from llmport_magic.session import Session
from llmport_magic.settings import resolve

BODIES = [
    "df['who'].astype(float)",
    "pd.to_datetime(df['who'])",
    "[int(value) for value in df['who']]",
    "df.loc[df['who'].iloc[0]]",
    "df[df['who'].iloc[-1]]",
    "{value: 1 for value in df['who']}[df['number'].iloc[0]]",
    "getattr(df, df['who'].iloc[0].replace(' ', ''))",
    "df.set_index('who', verify_integrity=True).sum().foo",
    "(_ for _ in ()).throw(ValueError(list(df['who']), dict(df['number'])))",
    "df.query(f\"number == '{df['who'].iloc[0]}' + 1\")",
    "df['who'] + df['number']",
    "__import__(df['who'].iloc[0])",
    "df.merge(df.assign(number='x' + df['who']), on='number')",
    "df.groupby(df['who'].tolist()).sum()",
    "(_ for _ in ()).throw(KeyError(df['who'].iloc[0]))",
    "(_ for _ in ()).throw(type(df['who'].iloc[0], (ValueError,), {})(df['number'].iloc[0]))",
]
TEXTS = st.lists(
    st.text(alphabet=string.ascii_letters + string.digits + "äß '\"-@.", min_size=8, max_size=24),
    min_size=2,
    max_size=4,
    unique=True,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    """Serve a module that fails on the data, then one that does not."""
    with Loopback() as running:
        yield running
        bridge.run(close_connectors())


def _request(server: Loopback, folder: Path, frame: pd.DataFrame, taken: list[int]) -> Any:
    namespace = {"df": frame}
    values = resolve(
        provider="local",
        base_url=server.url,
        model="m-1",
        api_key="planted-key-0123456789abcdef",
        module_dir=str(folder),
        trust="always",
        tries=2,
        sandbox_seconds=PATIENCE,
    )
    copies = Copies(named(("df",)), "Do it.", namespace, values.trial_rows)

    def take() -> Samples:
        taken.append(1)
        return copies.take()

    return ModuleRequest(
        name="tool",
        prompt="Do it.",
        settings=values,
        context=Context(named(("df",)), namespace, {}).describe(4000, "m-1").text,
        variables=copies.names,
        samples=take,
        regenerate=True,
    )


@settings(
    max_examples=16,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(texts=TEXTS, body=st.sampled_from(BODIES), seed=st.integers(0, 10**6))
def test_no_planted_value_is_sent(
    server: Loopback, tmp_path: Path, texts: list[str], body: str, seed: int
) -> None:
    """Whatever a candidate raises, no cell of the table is in a request, a record or a verdict."""
    # A mark that no other word can hold, in every text; numbers of many digits.
    marked = [f"{text}Zq{seed}xK" for text in texts]
    numbers = [random.Random(seed + n).randrange(10**9, 10**12) for n in range(len(texts))]
    frame = pd.DataFrame({"who": marked, "number": numbers})
    sources = [
        f"import pandas as pd\n\n\ndef f(df):\n    return {body}\n",
        "def f(df):\n    return 1\n",
    ]
    begun, taken, seen = len(server.requests), list[int](), list[Any]()

    def reply(_: Request) -> Script:
        return streamed(f"```python\n{sources[min(len(server.requests) - begun, 2) - 1]}```")

    server.always(reply)
    session = Session()

    async def run() -> None:
        async for event in write(_request(server, tmp_path, frame, taken), session):
            seen.append(event)

    try:
        bridge.run(run())
    finally:
        session.close()

    sent = b"".join(request.body for request in server.requests[begun:]).decode()
    assert isinstance(seen[-1], Stored)
    assert taken == [1]
    kept = [replace(event.verdict, seen="") for event in seen if isinstance(event, Checked)]
    journal = "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in (tmp_path / ".llmport").rglob("*")
        if path.is_file()
    )
    for text in (sent, journal, str(kept)):
        assert f"Zq{seed}xK" not in text
        assert not any(str(number) in text or f"{number:,}" in text for number in numbers)
