"""Handlers as a user meets them: the page's code, keys that wait for trust, one way for all."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asking import KEY
from loopback import Loopback, raw

import llmport_magic
from llmport_magic import settings
from llmport_magic.errors import ConfigError, MissingKeyError
from llmport_magic.llm import create_llm_handler
from llmport_magic.llm.selection import close_connectors
from llmport_magic.settings.reading import read_settings

PAGE = Path(__file__).parents[1] / "docs" / "handlers.md"

pytestmark = pytest.mark.usefixtures("own_registry")


@pytest.fixture(autouse=True)
async def _close() -> AsyncIterator[None]:
    """Forget the connectors of a test."""
    yield
    await close_connectors()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder that is a project."""
    (tmp_path / "project" / ".git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


FILES = {
    ".env": f'# ours\nexport GROQ_API_KEY="{KEY}" # the key\n',
    "llmport.toml": f'[llm.groq]\napi_key = "{KEY}"\n',
    "data/config/llm_factory_config.json": json.dumps(
        {"_": "ours", "groq_settings_for_factory": {"api_key_override": KEY}}, indent=1
    ),
}
LINES = {".env": 2, "llmport.toml": 2, "data/config/llm_factory_config.json": 4}


@pytest.mark.parametrize("file", FILES)
async def test_a_key_that_waits_for_trust_is_named(file: str, project: Path) -> None:
    """A missing key says in which line one lies unused, and what to do; then it counts (S2-16)."""
    path = project / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FILES[file], "utf-8")

    with pytest.raises(MissingKeyError) as missing:
        await create_llm_handler("groq", "m")
    with pytest.raises(MissingKeyError) as other:
        await create_llm_handler("openai", "m")
    settings.trust(path)
    handler: Any = await create_llm_handler("groq", "m")

    said = str(missing.value)
    assert f"{path}, line {LINES[file]}" in said
    assert "not used until `%llmport trust` allows that file; or set `GROQ_API_KEY`" in said
    assert KEY not in said
    assert "\n" not in said
    assert "trust" not in str(other.value), "the key of somebody else is of no use"
    assert handler.provider_name == "groq"
    assert KEY not in str(dict(os.environ)), "a file's key is never put into the environment"


async def test_the_code_of_the_page_runs(server: Loopback) -> None:
    """The Python of `docs/handlers.md` runs as it stands, with its default model (S2-13, S2-11)."""
    llmport_magic.configure(llm={"ollama": {"base_url": server.url}})
    message = {"role": "assistant", "content": "def quicksort(): ..."}
    answer = {"model": "m", "message": message, "done": True, "done_reason": "stop"}
    server.script(raw(json.dumps(answer)))
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}

    for block in blocks:
        running = eval(compile(block, "page", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.isawaitable(running):
            await running

    assert names["text"] == "def quicksort(): ..."
    assert server.requests[0].json["model"] == "codegemma:7b-it"
    assert server.requests[0].json["options"]["num_predict"] == 1024


async def test_the_file_of_the_page_is_read(project: Path) -> None:
    """The JSON of `docs/handlers.md` is a file that is found, and does what it says (S2-26)."""
    (block,) = re.findall(r"^```json\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    path = project / ".llmport" / "llm_factory_config.json"
    path.parent.mkdir()
    path.write_text(block, "utf-8")

    handler = await create_llm_handler()
    gemini: Any = await create_llm_handler("gemini", api_key=KEY)

    assert (handler.provider_name, handler.model_name_for_api) == ("ollama", "qwen2.5-coder:7b")
    assert (gemini.model_name_for_api, gemini.config.timeout_ms) == ("gemini-2.5-flash", 60_000)


def test_a_file_of_another_shape_is_said_once(project: Path) -> None:
    """A list in the place of the table is one plain sentence with the file (S2-12)."""
    path = project / ".llmport" / "llm_factory_config.json"
    path.parent.mkdir()
    path.write_text("[]", "utf-8")

    with pytest.raises(ConfigError) as caught:
        settings.resolve()

    assert str(caught.value) == f"settings file `{path}` holds no table of settings"


def test_a_file_written_just_now_is_read_anew(project: Path) -> None:
    """Within a tick of its clock a file's time says nothing: only an older one is kept (S2-12)."""
    path = project / ".llmport" / "llm_factory_config.json"
    path.parent.mkdir()
    path.write_text('{"provider": "groq"}', "utf-8")

    # However slow this machine is, this file is new.
    os.utime(path, (time.time() + 60,) * 2)
    assert read_settings(path) is not read_settings(path)
    os.utime(path, (time.time() - 60,) * 2)
    assert read_settings(path) is read_settings(path)


async def test_what_only_differs_in_the_layer_is_one_handler(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model named as an argument or in the environment is the same handler (S2-18, S2-14)."""
    llmport_magic.configure(llm={"local": {"base_url": server.url}})
    by_argument = await create_llm_handler("local", "m")
    monkeypatch.setenv("LLM_PROVIDER", "local")
    monkeypatch.setenv("LLMPORT_MODEL", "m")
    by_environment = await create_llm_handler()
    other = await create_llm_handler(model_name="n")

    assert by_argument is by_environment
    assert other is not by_argument
    assert other.model_name_for_api == "n"


def test_a_handler_of_an_ended_loop_is_used_in_another(server: Loopback) -> None:
    """Made and asked in a loop that has ended, it answers in the next, ten times over (S2-19)."""
    message = {"role": "assistant", "content": "hi"}
    server.always(raw(json.dumps({"model": "m", "message": message, "done": True})))

    async def ask() -> tuple[int, str | None]:
        handler = await create_llm_handler("ollama", "m", base_url=server.url)
        texts = await asyncio.gather(*(handler.generate_text("q") for _ in range(3)))
        assert texts == ["hi"] * 3
        return id(handler), texts[0]

    assert len({asyncio.run(ask()) for _ in range(10)}) == 1
