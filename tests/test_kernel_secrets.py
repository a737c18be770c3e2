"""A planted key in a real kernel with verbose tracebacks: it is in no output and no file (X-07)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import Kernel, kernel
from leaking import FORMS, KEY, leaks
from loopback import HANG, Loopback, failure, raw, reply, streamed
from scripted import GOOD

pytestmark = pytest.mark.kernel

CELL = "%%llmport circle --overwrite\nArea of a circle.\n\n>>> round(area(2), 3)\n12.566\n"
CARELESS = """
from llmport_magic.llm import BaseLLMConnector


class Careless(BaseLLMConnector):
    def __init__(self, api_key, model=""):
        self.api_key = api_key

    def call_llm(self, prompt):
        headers = {"authorization": "Bearer " + self.api_key}
        raise ValueError(f"refused: {headers}")
"""
DIRECT = """
import os
from llmport_magic.llm import LLMConfig, LLMProvider
direct = LLMProvider(LLMConfig({url!r}, "m", api_key=os.environ["OPENAI_API_KEY"]))
"""


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Give a provider on the loopback."""
    with Loopback() as running:
        yield running


@pytest.fixture
def shell(server: Loopback, tmp_path: Path) -> Iterator[Kernel]:
    """Give a kernel that asks the loopback server and has the key in its environment."""
    setup = (
        "from llmport_magic import configure\n"
        "configure(provider='openai', model='m-1', attempts=1)\n"
        "import logging; logging.basicConfig(level=logging.DEBUG, force=True)"
    )
    # The key may go there: what names the address is as strong as what holds the key.
    own = {"OPENAI_API_KEY": KEY, "LLMPORT_LLM__OPENAI__BASE_URL": server.url}
    with kernel(tmp_path / "work", **own) as running:
        assert running.run("%xmode Verbose").status == "ok"
        assert running.run(setup).status == "ok"
        yield running


def look(shell: Kernel, *codes: str) -> str:
    """Run cells and give everything that they show, logs included."""
    outcomes = [shell.run(code) for code in codes]
    return "\n".join(text for o in outcomes for text in (o.shown, o.stderr, str(o.payload)))


def files(shell: Kernel) -> str:
    """Give everything that is on disk in the kernel's folder."""
    found = [path for path in shell.folder.rglob("*") if path.is_file()]
    return "\n".join(path.read_bytes().decode("latin-1") for path in found)


def test_no_failure_in_a_cell_shows_the_key(shell: Kernel, server: Loopback) -> None:
    """Failures that quote the key show it in no cell, traceback, log or file (X-07)."""
    assert shell.run(DIRECT.format(url=server.url)).status == "ok"
    seen = []
    for form in FORMS.values():
        server.script(
            failure(401, f"no {form}"),
            raw(f"so: {form}"),
            reply(f"so: {form}", finish=form),
        )
        seen.append(look(shell, CELL, "await direct.call('q')", "r = await direct.call('q')\nr"))
        seen.append(look(shell, "r.raw, r.metadata, vars(direct)", "direct.config", "%tb"))
    seen.append(look(shell, "%llmport config", "%llmport", "%llmport log", "%whos"))
    shell.run("%unload_ext llmport_magic")

    assert len(server.requests) == 3 * len(FORMS)
    assert leaks("\n".join(seen)) == []
    assert leaks(files(shell)) == []


def test_an_answer_that_quotes_the_key_is_written_without_it(
    shell: Kernel, server: Loopback
) -> None:
    """Code that holds the key reaches cell, module, journal and log notebook without it (X-07)."""
    seen = []
    for form in FORMS.values():
        comment = "\n".join(f"# {line}" for line in (form, form[:9], form[9:]))
        server.script(streamed("```python\n", f"{GOOD}\n{comment[:12]}", f"{comment[12:]}\n```"))
        outcome = look(shell, CELL)
        assert "********" in outcome
        seen.append(outcome)
    seen.append(look(shell, "%llmport show circle", "%llmport log"))
    shell.run("%unload_ext llmport_magic")

    assert leaks("\n".join(seen)) == []
    assert leaks(files(shell)) == []


def test_a_careless_class_shows_no_key(shell: Kernel) -> None:
    """A third party's class that raises with its key, in a frame that has it, shows none (X-07)."""
    (shell.folder / "careless.py").write_text(CARELESS, encoding="utf-8")
    register = (
        "from careless import Careless\n"
        "from llmport_magic.llm import register_provider\n"
        "register_provider('careless', connector=Careless, api_key_vars=['OPENAI_API_KEY'])\n"
        "configure(provider='careless', model='m')"
    )
    assert shell.run(register).status == "ok"
    by_itself = (
        "from llmport_magic.llm.registry import connector_for\n"
        "from llmport_magic.settings import resolve\n"
        "await connector_for(resolve()).call('q')"
    )

    seen = look(shell, CELL, "%tb", by_itself, "%tb", "import sys; sys.last_value.args")

    assert "ValueError" in seen
    assert "refused: " in seen
    assert leaks(seen) == []
    shell.run("%unload_ext llmport_magic")
    assert leaks(files(shell)) == []


def test_a_key_in_a_prompt_is_told_before_it_is_sent(shell: Kernel, server: Loopback) -> None:
    """A pasted key of another service is told, with its line, while nothing has come yet (S79)."""
    pasted = "ghp_0123456789abcdefghij0123456789abcdef"
    server.script(streamed(HANG), streamed("```python\n", GOOD, "\n```"))
    cell = CELL.replace("circle.\n", f"circle.\nThe service wants {pasted}.\n")
    request = shell.start(cell)
    server.wait_for_requests(1)
    shell.interrupt()
    told = shell.finish(request).shown
    done = shell.run(cell)
    shell.run("%unload_ext llmport_magic")

    assert "line 2 of the prompt has what looks like a key: it is sent as it stands" in told
    assert "circle v1" in done.shown
    assert pasted in server.requests[0].body.decode()
    assert pasted not in files(shell)
