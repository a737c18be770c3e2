"""What is true of the connector layer as a whole, as its users and its testers find it."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from asking import asking
from awaiting import PATIENCE
from IPython.core.interactiveshell import InteractiveShell
from loopback import Loopback, failure, reply
from loopback import streamed as stream_of
from packaging.requirements import Requirement
from scripted import GOOD, PROMPT, Script, fenced, scripted
from test_comm import FakeComm, generate
from vendors import VENDORS
from vendors import asking as asking_vendor

import llmport_magic
from llmport_magic import llm as llm_package
from llmport_magic import session as sessions
from llmport_magic.errors import LLMError
from llmport_magic.llm import BaseLLMConnector, LLMConfig, LLMMessage, LLMProvider, LLMRole
from llmport_magic.llm.catalogue import shipped_providers
from llmport_magic.llm.failures import _LONGEST_MESSAGE as LONGEST_MESSAGE
from llmport_magic.llm.registry import CONNECTOR_MAP, default_registry
from llmport_magic.modules import loader
from llmport_magic.notebook import comm
from llmport_magic.settings import configure

ROOT = Path(__file__).parent.parent
KEY = "planted-key-0123456789abcdef"
# The vendors' own packages, and those that stand in for them.
SDKS = {
    "anthropic",
    "any-llm-sdk",
    "google-genai",
    "google-generativeai",
    "groq",
    "litellm",
    "ollama",
    "openai",
    "pydantic-ai",
    "pydantic-ai-slim",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder of its own, with a fresh session and no module left over."""
    monkeypatch.chdir(tmp_path)
    sessions.close_session()
    configure(sandbox_seconds=PATIENCE)
    yield tmp_path
    sessions.close_session()
    loader.uninstall()
    configure()


@pytest.fixture
def script(folder: Path) -> Iterator[Script]:
    """Let the provider answer with a good module."""
    with scripted(fenced(GOOD)) as running:
        configure(provider="scripted")
        yield running


# What it stands on


def test_installing_it_brings_no_sdk() -> None:
    """What `pip install` brings, through all dependencies, holds nobody's SDK (S4-01)."""
    brought: set[str] = set()
    open_names = ["llmport-magic"]
    while open_names:
        name = open_names.pop()
        for text in metadata.requires(name) or ():
            needed = Requirement(text)
            found = re.sub(r"[-_.]+", "-", needed.name).lower()
            wanted = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if wanted and found not in brought:
                brought.add(found)
                open_names.append(found)

    assert {"httpx", "ipython", "msgspec"} <= brought
    assert brought.isdisjoint(SDKS)


@pytest.mark.parametrize("row", shipped_providers(), ids=lambda row: row.name)
def test_every_connector_has_the_one_signature(row: Any) -> None:
    """`generate_text` is a coroutine with the seed's names, whoever is asked (S2-01)."""
    default_registry.cache_clear()
    method = CONNECTOR_MAP[row.name].generate_text
    names = ["self", "prompt", "model", "max_tokens", "temperature", "json_mode"]

    assert inspect.iscoroutinefunction(method)
    assert list(inspect.signature(method).parameters)[: len(names)] == names


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.dialect)
async def test_a_conversation_is_written_in_objects(vendor: Any) -> None:
    """`generate` takes LLMMessage and LLMRole; systems and turns arrive, whoever reads (S3-12)."""
    conversation = [
        LLMMessage(LLMRole.SYSTEM, "Be short."),
        LLMMessage(LLMRole.USER, "Hello?"),
        LLMMessage(LLMRole.ASSISTANT, "Yes."),
        LLMMessage(LLMRole.SYSTEM, "Be kind."),
        LLMMessage(LLMRole.USER, "One."),
        LLMMessage(LLMRole.USER, "Two."),
    ]
    with Loopback() as server:
        server.always(vendor.whole("ok"))
        answer = await asking_vendor(server, vendor).generate(conversation)
        sent = vendor.prompt_of(server.requests[0].json)

    assert answer.content == "ok"
    assert [text for role, text in sent if role == "assistant"] == ["Yes."]
    for role, texts in (("system", ("short", "kind")), ("user", ("Hello?", "One.", "Two."))):
        said = "\n".join(text for who, text in sent if who == role)
        places = [said.index(text) for text in texts]
        assert places == sorted(places)


# Where each format has the words of `generate_text`; Anthropic's has no seed.
WORDS = {
    "openai_chat": {"stop": ["END"], "top_p": 0.5, "seed": 0, "top_k": 5},
    "anthropic_messages": {"stop_sequences": ["END"], "top_p": 0.5, "top_k": 5},
    "gemini_content": {
        "generationConfig": {"stopSequences": ["END"], "topP": 0.5, "seed": 0, "top_k": 5}
    },
    "ollama_chat": {"options": {"stop": ["END"], "top_p": 0.5, "seed": 0, "top_k": 5}},
}


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.dialect)
async def test_the_words_of_generate_text_are_each_format_s(vendor: Any) -> None:
    """Stop texts, sampling, a system text and the vendor's own words go to their places (S2-22)."""
    stop, options, extra = ["END"], {"top_k": 5}, {"own": {"a": 1}}
    with Loopback() as server:
        server.always(vendor.whole("ok"))
        said = await asking_vendor(server, vendor).generate_text(
            "q",
            stop_sequences=stop,
            system_prompt="Be short.",
            top_p=0.5,
            seed=0,
            options=options,
            extra=extra,
        )
        body = server.requests[0].json

    assert said == "ok"
    assert vendor.prompt_of(body) == [("system", "Be short."), ("user", "q")]
    assert {name: body[name] for name in WORDS[vendor.dialect]} == WORDS[vendor.dialect]
    assert body["own"] == {"a": 1}
    assert (stop, options, extra) == (["END"], {"top_k": 5}, {"own": {"a": 1}})


@pytest.mark.parametrize("before", range(4, len(KEY), 4))
async def test_a_key_at_the_end_of_long_words_is_not_cut(before: int) -> None:
    """Where a provider's words are cut, no beginning of the key is left over (S3-15, X-07)."""
    text = "x" * (LONGEST_MESSAGE - before) + KEY
    with Loopback() as server:
        server.script(failure(401, text))
        with pytest.raises(LLMError) as caught:
            await asking(server, api_key=KEY).call("q")

    assert "xxxx" in str(caught.value)
    assert KEY[:4] not in str(caught.value)


@pytest.mark.parametrize("role", ["robot", "", "USER ", None])
def test_an_unknown_role_is_refused(role: Any) -> None:
    """A role that nobody reads is a ValueError that lists those that there are (S4-08)."""
    with pytest.raises(ValueError, match="use one of system, user, assistant, tool"):
        LLMMessage(role, "x")


async def test_connections_outlive_a_block() -> None:
    """After `async with`, and for other connectors, the same connection serves (S3-14, S4-31)."""
    with Loopback() as server:
        server.always(lambda r: stream_of("a") if r.json.get("stream") else reply("a"))
        async with asking(server) as llm:
            assert (await llm.call("q")).content == "a"
            assert [text async for text in llm.stream("q")] == ["a"]
        other = asking(server, model="m-2")
        for asked in (llm, other):
            assert (await asked.call("q")).content == "a"

        assert (len(server.requests), server.accepts) == (4, 1)


# In a notebook


def test_an_edit_of_the_templates_counts_in_the_next_cell(script: Script, folder: Path) -> None:
    """An edited template is in the next cell's request, in the same session (S4-35)."""
    path = folder / "templates.toml"
    configure(provider="scripted", templates=str(path))
    script.answers = [fenced(GOOD), fenced(GOOD)]
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "llmport_magic")
    try:
        path.write_text('module = "In the style of Ada: <<prompt>>"')
        assert shell.run_cell(f"%%llmport circle\n{PROMPT}").success
        before = path.stat()
        path.write_text('module = "In the style of Bob: <<prompt>>"')
        # Neither size nor time tells: only who reads the file knows.
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
        assert shell.run_cell(f"%%llmport circle --regenerate\n{PROMPT}").success
    finally:
        shell.run_line_magic("unload_ext", "llmport_magic")
        InteractiveShell.clear_instance()

    first, second = script.prompts
    assert "style of Ada" in first
    assert "style of Bob" in second
    assert "Ada" not in second


class Echo(BaseLLMConnector):
    """A third party's connector, as short as it can be."""

    def __init__(self, api_key: str, model: str) -> None:
        self.api_key, self.model = api_key, model

    def call_llm(self, prompt: str) -> str:
        """Answer with a module, whatever is asked."""
        return fenced(GOOD)


def test_the_panel_asks_a_third_party(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class with only `call_llm` answers the panel, its text in one piece (S0-17)."""
    monkeypatch.setenv("ECHO_API_KEY", KEY)
    default_registry.cache_clear()
    llm_package.register_provider(
        "echo", connector=Echo, api_key_vars=["ECHO_API_KEY"], default_model="echo-1"
    )
    try:
        front = FakeComm()
        comm.Link(front)
        front.say(generate(provider="echo"))
        done = front.wait_for("done")
    finally:
        default_registry.cache_clear()

    assert done["version"]
    assert [m["text"] for m in front.sent if m["type"] == "chunk"] == [fenced(GOOD)]
    assert KEY not in repr(front.sent)


# How it is documented


@pytest.mark.parametrize("package", [llmport_magic, llm_package], ids=lambda p: p.__name__)
def test_what_is_public_is_documented_and_typed(package: Any) -> None:
    """Each public name, method and property says what it is; functions are typed (X-02)."""
    silent, untyped = [], []
    for name in package.__all__:
        value = getattr(package, name)
        if not inspect.isclass(value) and not inspect.isfunction(value):
            continue
        members = _public_members(value) if inspect.isclass(value) else {}
        for what, function in {name: value, **members}.items():
            if not inspect.getdoc(function):
                silent.append(what)
            if inspect.isfunction(function):
                given = inspect.signature(function)
                untyped += [
                    f"{what}({parameter.name})"
                    for parameter in given.parameters.values()
                    if parameter.annotation is inspect.Parameter.empty
                    and parameter.name not in {"self", "cls"}
                ]
                if given.return_annotation is inspect.Signature.empty:
                    untyped.append(what)

    assert (silent, untyped) == ([], [])


def _public_members(owner: type) -> dict[str, Any]:
    found = {}
    for name, member in vars(owner).items():
        value = getattr(member, "__func__", member)
        if isinstance(value, property):
            value = value.fget
        if not name.startswith("_") and inspect.isfunction(value):
            found[f"{owner.__name__}.{name}"] = value
    return found


@pytest.mark.parametrize(
    "path",
    [
        *(ROOT / "llmport_magic/llm/catalog").glob("*.yaml"),
        *(ROOT / "llmport_magic/llm/dialects").glob("[!_]*.py"),
        *(ROOT / "llmport_magic/llm/dialects").glob("[!_]*/__init__.py"),
    ],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_facts_of_vendors_have_a_source(path: Path) -> None:
    """The top of a row or a dialect says where and when its facts were read (X-02)."""
    head = path.read_text("utf-8").partition("provider:\n")[0].partition("from __future__")[0]
    if path.stem in {"embedded", "local", "mock"}:  # nobody's service
        assert head.startswith("# ")
        return

    assert re.search(r"\b20\d\d-\d\d-\d\d\b", head)
    assert re.search(r"\b[a-z.]+\.(com|dev|ai)/", head)


# How it is tested


async def test_no_test_leaves_the_machine(only_loopback: list[object]) -> None:
    """A look-up or a connection elsewhere is refused, and remembered if it is caught (X-05)."""
    with pytest.raises(AssertionError, match="leave the machine"):
        socket.create_connection(("192.0.2.1", 443), 1)
    with pytest.raises(AssertionError, match="leave the machine"):
        await asyncio.open_connection("2001:db8::1", 443)
    with pytest.raises(AssertionError, match="leave the machine"):
        await asyncio.get_running_loop().getaddrinfo("api.openai.com", 443)
    with socket.socket() as one, pytest.raises(AssertionError, match="leave the machine"):
        one.connect_ex(("192.0.2.3", 443))
    before = len(only_loopback)
    with pytest.raises((AssertionError, LLMError)):
        await LLMProvider(LLMConfig("https://192.0.2.4/v1", "m", api_key=KEY)).call("q")

    assert len(only_loopback) > before
    assert {"192.0.2.1", "2001:db8::1", "api.openai.com", "192.0.2.3"} <= set(only_loopback)
    only_loopback.clear()


def test_no_kernel_leaves_the_machine() -> None:
    """A process that a test starts with the tests on its path is held back as well (X-05)."""
    code = "import socket; socket.create_connection(('192.0.2.1', 443), 1)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert "a test tried to leave the machine: '192.0.2.1'" in done.stderr


def test_tests_of_real_vendors_are_skipped_visibly() -> None:
    """Without keys the tests of real vendors are skipped, and say which key to set (S4-30)."""
    remote = [row for row in shipped_providers() if row.key_required]
    chosen = " or ".join(f"test_text and {row.name}" for row in remote)
    run = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*run, "-m", "integration", "-k", chosen, str(ROOT / "tests" / "test_llm_integration.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert re.search(rf"^{len(remote)} skipped", done.stdout, re.MULTILINE), done.stdout
    for row in remote:
        assert f"set {' or '.join(row.api_key_vars)} to ask `{row.name}`" in done.stdout
