"""The embedded model: a real one, in a process of its own, asked like any other."""

from __future__ import annotations

import asyncio
import importlib.util
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import replace

import psutil
import pytest
from awaiting import soon, until
from computing import computed, cost_of

from llmport_magic import bridge
from llmport_magic.errors import ConfigError, LLMError, LLMTimeoutError, UsageError
from llmport_magic.llm import embedded, engine
from llmport_magic.llm.dialects import openai_completions
from llmport_magic.llm.embedded import EmbeddedConnector
from llmport_magic.llm.messages import Message
from llmport_magic.llm.wire import Call
from llmport_magic.settings import Settings

# A model answers in seconds, and in minutes where others take the processor.
pytestmark = pytest.mark.timeout(1200)

ASK = "Write a Python function add(a, b) with a docstring."

real = pytest.mark.embedded


@pytest.fixture(scope="module", autouse=True)
def _unloaded():
    yield
    engine.unload()


@pytest.fixture
def connector(request):
    """Give a connector to the small model, where it is installed."""
    if not embedded.installed("small"):
        pytest.skip("the small model is not installed: `%llmport model install small`")
    return EmbeddedConnector("small", threads=1, max_tokens=48)


# -- without a model ---------------------------------------------------------------------------


def test_missing_weights_name_the_command_and_the_size():
    """Without weights a call fails at once, naming the command, the size and the licence."""
    assert not embedded.installed("large")
    with pytest.raises(ConfigError) as caught:
        EmbeddedConnector("large").call_llm("hello")
    assert "%llmport model install large" in str(caught.value)
    assert "1.1 GB" in str(caught.value)
    assert "Apache-2.0" in str(caught.value)


def test_a_missing_runtime_names_the_extra(monkeypatch, tmp_path):
    """Without the package that runs models a call names what to install."""
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF")
    monkeypatch.setattr(engine, "runtime_installed", lambda: False)

    assert not embedded.installed(str(own))
    with pytest.raises(ConfigError, match=r"llmport-magic\[embedded\]"):
        EmbeddedConnector(str(own)).call_llm("hello")


@pytest.mark.parametrize("model", ["huge", "/nowhere/model.gguf"])
def test_an_unknown_model_is_an_error_of_the_call(model):
    """A model that there is not is told when it is asked, in one line."""
    with pytest.raises(ConfigError, match=model.replace(".", r"\.")):
        EmbeddedConnector(model).call_llm("hello")


@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs the runtime")
def test_a_file_that_is_no_model_is_told(tmp_path):
    """A file that cannot be loaded is an error that names it; the kernel goes on."""
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF" + b"\0" * 100)

    with pytest.raises(LLMError, match=r"cannot load `own\.gguf`"):
        EmbeddedConnector(str(own)).call_llm("hello")
    assert engine.loaded() == ()


@pytest.mark.parametrize(
    ("cores", "load", "threads"),
    [
        (1, 0, 1),
        (2, 0, 1),
        (2, 5, 1),
        (8, 0, 4),
        (8, 3.2, 4),
        (8, 6.1, 1),
        (8, 5.5, 2),
        (64, 0, 32),
    ],
)
def test_threads_leave_room(cores, load, threads):
    """Half the cores compute, fewer on a busy machine, never none."""
    assert engine.pick_threads(cores, load) == threads


def test_the_settings_reach_the_connector():
    """The model, the seed, the temperature and the threads are those of the settings."""
    given = Settings(model="small", sources={"model": "argument"}, seed=7, temperature=0.5)

    assert "0.5b" in EmbeddedConnector.from_settings(given).model_name_for_api
    default = Settings(model="large", embedded_model="small")
    assert "0.5b" in EmbeddedConnector.from_settings(default).model_name_for_api


def test_the_runtime_is_not_loaded_into_this_process():
    """Importing the connector loads no native code (X-01)."""
    code = "import sys, llmport_magic.llm.embedded; print('xllamacpp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_the_completions_dialect_continues_a_text():
    """A raw request carries one text and no conversation."""
    call = Call(
        model="m", messages=(Message("user", "def f("),), stream=True, stop=("\n\n",), seed=1
    )
    request = openai_completions.build_request(call)

    assert request.path == "completions"
    assert request.body["prompt"] == "def f("
    assert request.body["stop"] == ["\n\n"]
    assert "messages" not in request.body
    assert "temperature" not in request.body
    assert openai_completions.read_reply({"choices": [{"text": "x):"}]}).text == "x):"


# -- with the real small model -----------------------------------------------------------------


@real
async def test_the_answer_streams_with_exact_counts(connector):
    """Text arrives piece by piece; the token counts are the runtime's own."""
    stream = connector.stream(ASK)
    arrived = [text async for text in stream]
    response = stream.response

    assert len(arrived) > 10
    assert "".join(arrived) == response.content
    assert response.usage["completion_tokens"] == 48
    assert response.finish_reason == "length"
    assert response.metadata["usage_estimated"] is False
    assert response.provider == "embedded"
    assert response.model == connector.model_name_for_api == "qwen2.5-coder-0.5b-instruct-q4_k_m"


@real
async def test_a_prefill_is_continued_and_not_repeated(connector):
    """The answer begins where the prefill ends, and the stop text ends it."""
    options = {"prefill": "```python\ndef add(a, b):\n", "stop": ["\n```"], "max_tokens": 120}
    response = await connector.complete(ASK, **options)

    assert "```" not in response.content
    assert response.finish_reason == "stop"
    compile("def add(a, b):\n" + response.content, "m", "exec")


@real
async def test_a_raw_text_is_continued(connector):
    """In completion style the model continues the text itself."""
    response = await connector.complete("def add(a, b):\n    return", raw=True, max_tokens=4)

    assert response.content.startswith(" a + b")


@real
async def test_the_same_seed_gives_the_same_answer(connector):
    """A seed fixes the answer, whatever was asked in between; another seed gives another."""
    first = await connector.complete(ASK, temperature=0.9, seed=1)
    other = await connector.complete(ASK, temperature=0.9, seed=2)
    again = await connector.complete(ASK, temperature=0.9, seed=1)

    assert again.content == first.content
    assert other.content != first.content


@real
async def test_an_unknown_option_is_refused(connector):
    """A misspelt option is told, as with every connector."""
    with pytest.raises(UsageError, match="max_tokens"):
        await connector.complete(ASK, max_token=3)


@real
async def test_hanging_up_stops_the_model(connector):
    """A cancelled call frees the model, which writes no more for it (S0-39)."""
    greedy = {"raw": True, "temperature": 0.0}
    await connector.complete("hi", max_tokens=1)
    little = await cost_of(connector.complete("y = 2\n" * 20, max_tokens=20, **greedy))
    # Such a text goes on and on.
    stream = connector.stream("x = 1\n" * 20, max_tokens=1000, **greedy)
    begun = asyncio.Event()

    async def read():
        async for _ in stream:
            begun.set()

    call = asyncio.create_task(read())
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert await cost_of(connector.complete("hi", max_tokens=1)) < 6 * little


@real
async def test_hanging_up_while_a_long_prompt_is_read(connector):
    """A call cancelled before its first word frees the model between two batches (S0-39)."""
    await connector.complete("hi", max_tokens=1)
    little = await cost_of(connector.complete("y = 2\n" * 60, max_tokens=1))
    before = computed()
    call = asyncio.create_task(connector.complete("x = 1\n" * 1500, max_tokens=1))
    await soon(lambda: computed() > before + 0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert await cost_of(connector.complete("hi", max_tokens=1)) < 6 * little


@real
async def test_reading_a_long_prompt_is_no_silence(connector):
    """The default `idle_timeout` is for servers on the network; where it is set, it holds."""
    default = Settings(embedded_model="small", idle_timeout=0.001)
    given = replace(default, sources={"idle_timeout": "argument"})

    await EmbeddedConnector.from_settings(default).complete("x = 1\n" * 40, max_tokens=1)
    # So long, and new to the model, that it is silent for longer than this process may sleep.
    with pytest.raises(LLMTimeoutError, match="idle_timeout"):
        await EmbeddedConnector.from_settings(given).complete("z = 3\n" * 1500, max_tokens=1)


@real
async def test_loading_does_not_hold_the_kernel_up(connector, monkeypatch):
    """While the model loads, this process goes on: the loop turns, and no native code is here."""
    engine.unload()
    loading, gone_on, exchange = threading.Event(), threading.Event(), engine._exchange

    def held(*given):
        loading.set()
        assert gone_on.wait(60)
        return exchange(*given)

    monkeypatch.setattr(engine, "_exchange", held)
    call = asyncio.create_task(connector.complete("hi", max_tokens=1))
    await soon(loading.is_set)
    gone_on.set()

    assert (await call).content
    assert "xllamacpp" not in sys.modules


@real
def test_the_model_answers_only_this_process(connector):
    """The model listens on the loopback only and refuses who does not know its key."""
    address = engine.start(embedded.installed_file("small"))
    request = urllib.request.Request(f"{address.url}/v1/completions", b'{"prompt": "x"}')

    assert address.url.startswith("http://127.0.0.1:")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    assert caught.value.code == 401
    assert address.key.reveal() not in repr(address)


@real
def test_the_model_is_loaded_once_and_unloaded(connector):
    """Two calls use one process; `unload` ends it, and the next call starts another."""
    path = embedded.installed_file("small")
    first = engine.start(path)

    assert engine.start(path) == first
    assert engine.loaded() == (path,)
    process = engine._engines[path].process
    embedded.unload()
    assert process.returncode is not None
    assert engine.loaded() == ()
    assert bridge.run(connector.complete("hi", max_tokens=1)).content


@real
def test_a_crash_of_the_model_is_told_and_mended(connector):
    """The native code may crash: the kernel stays, and the next call loads the model again."""
    bridge.run(connector.complete("hi", max_tokens=1))
    process = engine._engines[embedded.installed_file("small")].process
    process.kill()
    process.wait()

    assert bridge.run(connector.complete("hi", max_tokens=1)).content


@real
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_model_ends_with_its_kernel(connector, how):
    """However the kernel ends, no process of the model is left behind."""
    code = (
        "import time; from llmport_magic.llm import embedded, engine\n"
        "path = embedded.installed_file('small'); engine.start(path, 1)\n"
        "print(engine._engines[path].process.pid, flush=True); time.sleep(3600)"
    )
    kernel = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with kernel.stdout:
        model = psutil.Process(int(kernel.stdout.readline()))
    assert _runs(model)
    kernel.send_signal(how)
    kernel.wait()

    until(lambda: not _runs(model))


def _runs(process):
    # It may end at any moment, and its number may be another's then.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
