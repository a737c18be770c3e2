"""What a model can do, asked of vendors' endpoints as they document them, on this machine."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest
from leaping import Leap
from loopback import HANG, Loopback, Request, Script, failure, raw

from llmport_magic.errors import ConfigError, LLMError
from llmport_magic.llm import detection
from llmport_magic.llm.capabilities import LLMCapabilities, LLMProfile, ModelFamily
from llmport_magic.llm.dialects import dialect_named, dialect_names
from llmport_magic.llm.registry import LLMRegistry
from llmport_magic.llm.transport import LLMConnectionError, LLMStatusError

KEY = "planted-key-0123456789abcdef"
NOWHERE = "http://127.0.0.1:9/v1"
FIXTURES = json.loads(
    (Path(__file__).parent / "fixtures" / "models_endpoints.json").read_text("utf-8")
)

pytestmark = pytest.mark.usefixtures("own_registry")


def _registry(url: str, dialect: str = "openai_chat", **fields: Any) -> LLMRegistry:
    registry = LLMRegistry.create_default(
        auto_update_capabilities=fields.pop("auto_update_capabilities", False)
    )
    row = {"base_url": url, "dialect": dialect, "api_key_vars": ("MINE_API_KEY",), **fields}
    registry.register_provider("mine", **row)
    return registry


def _documented(case: dict[str, Any]) -> Any:
    """Answer as the page of the fixture has it; what it has not is not found."""

    def answer(request: Request) -> Script:
        # Ollama's own paths begin at the server's root.
        path = request.path.removeprefix("/v1") if "api/" in request.path else request.path
        found = case["answers"].get(f"{request.method} {path}")
        return failure(404, "not found") if found is None else raw(json.dumps(found))

    return answer


# What vendors say


@pytest.mark.parametrize("vendor", FIXTURES)
async def test_what_a_vendor_documents_is_read(server: Loopback, vendor: str) -> None:
    """Each vendor's documented answer becomes a profile; the rest stays unknown (S1-16)."""
    case = FIXTURES[vendor]
    server.always(_documented(case))
    registry = _registry(server.url, case["dialect"])

    profile = await registry.detect_and_register_model("mine", case["model"], KEY)

    expected = LLMCapabilities(**case["told"])
    assert profile.capabilities == expected
    assert (profile.name, profile.provider, profile.detected) == (case["model"], "mine", True)
    assert registry.find_model(case["model"], "mine") == profile
    header = dialect_named(case["dialect"]).KEY_HEADER
    assert all(request.headers[header].endswith(KEY) for request in server.requests)
    assert all(KEY not in request.path for request in server.requests)
    assert len(server.requests) == len(case["answers"])


@pytest.mark.parametrize("name", dialect_names())
@pytest.mark.parametrize("data", [None, [], "x", {}, {"data": 5}, {"data": [None]}, {"models": {}}])
def test_nonsense_is_no_model(name: str, data: Any) -> None:
    """Whatever a server sends, reading it gives a model or none, and never fails (S1-16)."""
    dialect = dialect_named(name)

    assert dialect.read_model(data, "m") is None
    assert dialect.read_models(data) == ()
    requests = dialect.describe_requests("a/b c")
    assert requests
    assert all(" " not in request.path for request in requests)


@pytest.mark.parametrize("vendor", FIXTURES)
def test_wrong_types_are_left_out(vendor: str) -> None:
    """A size that is a text or negative, and an ability that is no truth, are not taken (S1-16)."""
    case = FIXTURES[vendor]
    dialect = dialect_named(case["dialect"])

    def spoiled(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: spoiled(v) for k, v in value.items()}
        if isinstance(value, list):
            return [spoiled(v) for v in value]
        return -value if type(value) is int else value

    for answer in case["answers"].values():
        told = dialect.read_model(spoiled(answer), case["model"]) or {}
        LLMCapabilities(**told)
        assert not {"max_context_window", "max_output_tokens"} & told.keys()


async def test_what_the_vendor_says_wins(server: Loopback) -> None:
    """Detected fields stand over the catalogue's, and the others stay as they are (S1-17)."""
    registry = _registry(server.url)
    registry.register_provider(
        "openrouter",
        base_url=server.url,
        replace=True,
        models={
            "vendor/test-9:free": {
                "family": "qwen",
                "aliases": ["test"],
                "capabilities": {"max_context_window": 4096, "cache_write_cost_per_1k_tokens": 0.5},
            }
        },
    )
    server.always(_documented(FIXTURES["openrouter"]))

    profile = await registry.detect_and_register_model("openrouter", "vendor/test-9:free", KEY)

    assert profile.family is ModelFamily.QWEN
    assert profile.capabilities.max_context_window == 262_144
    assert profile.capabilities.cache_write_cost_per_1k_tokens == 0.5
    assert registry.find_model("test", "openrouter") == profile


async def test_a_router_without_a_price_has_none(server: Loopback) -> None:
    """A price of -1, where the router chooses, stays unknown and is never free (S1-13)."""
    server.always(_documented(FIXTURES["openrouter"]))

    profile = await _registry(server.url).detect_and_register_model("mine", "openrouter/auto", KEY)

    assert profile.capabilities.max_context_window == 2_000_000
    assert profile.capabilities.input_cost_per_1k_tokens is None


async def test_a_family_is_told_by_the_name(server: Loopback) -> None:
    """A model that nobody knew gets its family by the words of its name (S1-17)."""
    server.always(_documented(FIXTURES["vllm"]))

    profile = await _registry(server.url).detect_and_register_model(
        "mine", "Qwen/Qwen9-7B-Instruct", KEY
    )

    assert profile.family is ModelFamily.QWEN


# What goes wrong


async def test_a_model_that_is_not_there_is_an_error(server: Loopback) -> None:
    """A 404 of every question, and a list without the model, are errors; lenient or not (S1-17)."""
    registry = _registry(server.url)
    server.always(failure(404, "no such model"))
    with pytest.raises(LLMStatusError, match=r"`mine` answered 404.*`nope`"):
        await registry.detect_and_register_model("mine", "nope", KEY)

    server.always(_documented(FIXTURES["vllm"]))
    with pytest.raises(LLMError, match="`nope`"):
        await registry.detect_and_register_model("mine", "nope", KEY, strict=True)

    assert registry.find_model("nope", "mine") is None


async def test_a_key_that_is_refused_is_an_error(server: Loopback) -> None:
    """Who says no is not out of reach: a 401 is told, and the key is not (S1-17, S1-07)."""
    server.always(failure(401, f"bad key {KEY}"))

    with pytest.raises(LLMStatusError, match="401") as caught:
        await _registry(server.url).detect_and_register_model("mine", "m", KEY)

    assert KEY not in str(caught.value)
    with pytest.raises(ConfigError, match="unknown provider `mein`: did you mean `mine`"):
        await _registry(server.url).detect_and_register_model("mein", "m", KEY)
    with pytest.raises(ConfigError) as unknown:
        await _registry(server.url).detect_and_register_model("mein", "m", KEY)
    frames = [frame for frame, _ in traceback.walk_tb(unknown.value.__traceback__)]
    ours = [f for f in frames if "llmport_magic" in f.f_code.co_filename]
    assert ours
    assert all(KEY not in repr(f.f_locals) for f in ours)
    with pytest.raises(ConfigError, match="MINE_API_KEY"):
        await _registry(server.url).detect_and_register_model("mine", "m")
    with pytest.raises(ConfigError, match="empty"):
        await _registry(server.url).detect_and_register_model("mine", "m", " ")


async def test_without_a_network_nothing_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline a lenient detection keeps what is known, marked; a strict one fails (S1-17)."""
    monkeypatch.setenv("LLMPORT_ATTEMPTS", "1")
    monkeypatch.setenv("LLMPORT_CONNECT_TIMEOUT", "60")
    registry = _registry(NOWHERE, models={"known": {"capabilities": {"max_context_window": 9}}})

    unknown = await registry.detect_and_register_model("mine", "llama-9", KEY)
    known = await registry.detect_and_register_model("mine", "known", KEY)

    assert unknown.capabilities == LLMCapabilities()
    assert (unknown.family, unknown.detected) == (ModelFamily.LLAMA, False)
    assert registry.find_model("llama-9", "mine") == unknown
    assert (known.capabilities.max_context_window, known.detected) == (9, False)
    with pytest.raises(LLMConnectionError, match="nobody answers"):
        await registry.detect_and_register_model("mine", "llama-8", KEY, strict=True)
    assert registry.find_model("llama-8", "mine") is None


async def test_a_server_in_trouble_is_out_of_reach(server: Loopback) -> None:
    """A 500 that stays is no answer about the model (S1-17)."""
    server.always(failure(500))

    profile = await _registry(server.url).detect_and_register_model("mine", "m", KEY)

    assert not profile.detected
    with pytest.raises(LLMStatusError):
        await _registry(server.url).detect_and_register_model("mine", "m", KEY, strict=True)


async def test_a_server_that_hangs_is_out_of_reach(
    server: Loopback, leap: Leap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is not waited for longer than a first use is worth (S1-16)."""
    monkeypatch.setattr(detection, "_MOST_SECONDS", 300.0)
    server.always(Script((HANG,), silent=True))

    asked = asyncio.ensure_future(_registry(server.url).detect_and_register_model("mine", "m", KEY))
    await asyncio.to_thread(server.wait_for_requests, 1)
    leap(301)
    profile = await asked

    assert not profile.detected
    assert len(server.requests) == 1


async def test_a_provider_without_an_endpoint_says_what_to_do() -> None:
    """A connector that speaks no HTTP has nothing to ask: the error names the way (S1-28)."""
    with pytest.raises(ConfigError, match="register_detector"):
        await LLMRegistry.create_default().detect_and_register_model("mock", "m")


# Detectors


async def test_a_detector_of_ones_own_is_asked(server: Loopback) -> None:
    """It is given model and key, and gives fields, a profile, or `None` for no model (S1-28)."""
    asked = []

    async def detector(model: str, *, api_key: Any) -> Any:
        asked.append((model, api_key.reveal()))
        await asyncio.sleep(0)
        if model == "whole":
            return LLMProfile(name="whole", provider="x", family=ModelFamily.GEMMA)
        return None if model == "nope" else {"vision": True, "max_context_window": 7}

    registry = _registry(server.url)
    registry.register_detector("Mine", detector)

    fields = await registry.detect_and_register_model("mine", "fields", KEY)
    whole = await registry.detect_and_register_model("mine", "whole", KEY)

    assert (fields.capabilities.vision, fields.capabilities.max_context_window) == (True, 7)
    assert (whole.provider, whole.family, whole.detected) == ("mine", ModelFamily.GEMMA, True)
    with pytest.raises(LLMError, match="`mine` has no model `nope`"):
        await registry.detect_and_register_model("mine", "nope", KEY)
    assert asked == [("fields", KEY), ("whole", KEY), ("nope", KEY)]
    assert server.requests == []


@pytest.mark.parametrize("told", [{"visoin": True}, {"max_context_window": -1}])
async def test_a_detector_that_is_wrong_is_told(server: Loopback, told: Any) -> None:
    """What cannot be a model's capability is an error that names provider and model (S1-28)."""

    async def detector(_: str, *, api_key: Any) -> Any:
        return told

    registry = _registry(server.url)
    registry.register_detector("mine", detector)

    with pytest.raises(LLMError, match=r"what `mine` says of `m` cannot be used.*(visoin|above 0)"):
        await registry.detect_and_register_model("mine", "m", KEY)


async def test_a_detector_that_fails_shows_no_key(server: Loopback) -> None:
    """What a detector raises comes through, and without the key (S1-07, S1-28)."""

    async def detector(_: str, *, api_key: Any) -> Any:
        raise RuntimeError(f"cannot use {api_key.reveal()}")

    registry = _registry(server.url)
    registry.register_detector("mine", detector)

    with pytest.raises(RuntimeError, match="cannot use") as caught:
        await registry.detect_and_register_model("mine", "m", KEY)

    assert KEY not in str(caught.value)


# By itself


async def test_an_update_comes_once_and_with_the_first_use(server: Loopback) -> None:
    """Nothing is asked when a registry is made; then once a model, however many ask (S1-16)."""
    server.always(_documented(FIXTURES["groq"]))
    registry = _registry(server.url, auto_update_capabilities=True)
    registry.initialize_provider("mine", KEY)
    model = FIXTURES["groq"]["model"]
    assert server.requests == []

    await asyncio.gather(*(registry.update_capabilities("mine", model) for _ in range(20)))
    await registry.update_capabilities("mine", model)

    assert len(server.requests) == 1
    assert registry.get_model(model, "mine").capabilities.max_context_window == 131_072


async def test_an_update_works_from_any_loop(server: Loopback) -> None:
    """Two threads with loops of their own, beside a running one, share one answer (S1-16)."""
    server.always(_documented(FIXTURES["groq"]))
    registry = _registry(server.url, auto_update_capabilities=True)
    registry.initialize_provider("mine", KEY)
    model = FIXTURES["groq"]["model"]

    def elsewhere() -> None:
        asyncio.run(registry.update_capabilities("mine", model))

    threads = [threading.Thread(target=elsewhere) for _ in range(2)]
    for thread in threads:
        thread.start()
    await registry.update_capabilities("mine", model)
    for thread in threads:
        await asyncio.to_thread(thread.join)

    assert len(server.requests) == 1
    assert registry.get_model(model, "mine").detected


async def test_an_update_that_fails_keeps_what_is_known(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Offline the catalogue stays, nobody is bothered, and a debug record says why (S1-16)."""
    monkeypatch.setenv("LLMPORT_ATTEMPTS", "1")
    monkeypatch.setenv("LLMPORT_CONNECT_TIMEOUT", "60")
    models = {"m": {"capabilities": {"max_context_window": 9}}}
    registry = _registry(NOWHERE, models=models, auto_update_capabilities=True)
    registry.initialize_provider("mine", KEY)
    before = registry.find_model("m", "mine")

    with caplog.at_level(logging.DEBUG, "llmport_magic"):
        await registry.update_capabilities("mine", "m")

    assert registry.find_model("m", "mine") is before
    records = [r for r in caplog.records if r.name == "llmport_magic"]
    assert [r.levelname for r in records] == ["DEBUG"]
    assert "`m`" in records[0].getMessage()
    assert KEY not in caplog.text


async def test_without_the_switch_nothing_is_asked(server: Loopback) -> None:
    """A registry that was not told to update itself asks nobody (S1-16)."""
    registry = _registry(server.url)
    registry.initialize_provider("mine", KEY)

    await registry.update_capabilities("mine", "m")

    assert server.requests == []
