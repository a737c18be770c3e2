"""What several rows say together: pages whose examples run, and keys that stay with their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from asking import KEY
from loopback import Loopback, failure, reply

import llmport_magic
from llmport_magic import bridge, configure
from llmport_magic.errors import LLMLimitError, LLMStatusError
from llmport_magic.llm import (
    LLMConfig,
    LLMFailoverWarning,
    LLMProvider,
    LLMRegistry,
    create_llm_factory,
)
from llmport_magic.llm.cache import clear_cache, forget
from llmport_magic.llm.cost import Cost
from llmport_magic.llm.registry import CONNECTOR_MAP, PROVIDER_CONFIG, connector_for
from llmport_magic.settings import resolve

pytestmark = pytest.mark.usefixtures("own_registry")

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: str, language: str) -> list[str]:
    """Give the fenced blocks of a page in one language, without their indent."""
    text = (DOCS / page).read_text("utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def test_the_page_about_limits_is_true(server: Loopback, tmp_path: Path) -> None:
    """Its script sets limits, its row is read, and its message comes as it stands there (S3-51)."""
    (script,) = blocks("limits.md", "python")
    exec(compile(script, "docs/limits.md", "exec"), {})
    assert (resolve().requests_per_minute, resolve().tokens_per_minute) == (30, 8000)
    llmport_magic.configure(requests_per_minute=2, tokens_per_minute=float("inf"), burst=1)

    (row,) = blocks("limits.md", "yaml")
    path = tmp_path / "mine.yaml"
    path.write_text(row, "utf-8")
    mine = LLMRegistry().load_provider_file(path)
    assert mine.requests_per_minute == 1000
    assert mine.rate_limit_profiles["night"].tokens_per_minute == 1_000_000

    server.always(reply("hi"))
    table = {"base_url": server.url, "api_key": KEY}
    groq = {"provider": "groq", "config": {"llm": {"groq": table}}}
    connector_for(resolve(total_timeout=600, **groq)).call_llm("q")
    # The second would come in half a minute, for which this one has no time.
    llm = connector_for(resolve(total_timeout=5, **groq))
    with pytest.raises(LLMLimitError) as caught:
        llm.call_llm("q")
    page = (DOCS / "limits.md").read_text("utf-8")
    assert (told := re.search(r"^LLMLimitError: .*30\.0 s.*$", page, re.MULTILINE))
    assert re.sub(r"\d+\.\d s", "30.0 s", f"LLMLimitError: {caught.value}") == told[0]
    assert len(server.requests) == 1


def test_the_page_about_kept_answers_is_true(server: Loopback) -> None:
    """Each way of the page keeps answers, and each way of forgetting forgets (S3-51, S3-62)."""
    (script,) = blocks("cache.md", "python")
    exec(compile(script, "docs/cache.md", "exec"), {})
    assert resolve().cache is True
    server.always(reply("hi"))
    table = {"base_url": server.url, "api_key": KEY}
    configure(provider="openai", model="m", llm={"openai": table})
    first = connector_for(resolve())
    one = LLMProvider(LLMConfig(server.url, "m", cache=True))
    for llm, cached in ((first, False), (first, True), (one, False), (one, True)):
        answer = bridge.run(llm.call("q"))
        assert bool(answer.metadata.get("cached")) is cached
    assert (answer.metadata["sends"], answer.raw, answer.cost) == (0, None, Cost(0.0, "cached"))
    assert bridge.run(one.call("q", cache=False)).metadata.get("cached") is not True

    forget(answer)
    assert bridge.run(one.call("q")).metadata.get("cached") is not True
    assert clear_cache() == 2
    assert bridge.run(one.call("q")).metadata.get("cached") is not True


def test_a_kept_answer_of_one_provider_is_not_anothers(server: Loopback) -> None:
    """In a chain each provider has its own answers, and a failure is kept of none (S3-62)."""
    with Loopback() as second:
        tables = {
            "openai": {"base_url": server.url, "api_key": KEY, "model": "m", "attempts": 1},
            "groq": {"base_url": second.url, "api_key": KEY, "model": "m", "attempts": 1},
        }
        configure(provider="openai", fallback=["groq"], cache=True, llm=tables)
        factory = create_llm_factory()
        server.script(failure(500), reply("from the first"))
        second.script(reply("from the second"))

        assert bridge.run(factory.call("q")).content == "from the second"
        assert bridge.run(factory.call("q")).content == "from the first"
        kept = bridge.run(factory.call("q"))
        assert (kept.content, kept.provider) == ("from the first", "openai")
        assert kept.metadata["cached"] is True
        assert (len(server.requests), len(second.requests)) == (2, 1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429])
def test_what_counts_against_nobody_opens_nothing(server: Loopback, status: int) -> None:
    """However often, no status below 500 has a provider passed over (S3-09, case 40)."""
    table = {"base_url": server.url, "api_key": KEY, "model": "m", "attempts": 1}
    factory = create_llm_factory({"provider": "openai", "openai": table, "fallback": []})
    server.always(failure(status))
    for _ in range(5):
        with pytest.raises(LLMStatusError):
            bridge.run(factory.call("q"))
    looked = bridge.run(factory.health_check())["providers"]["openai"]

    assert len([r for r in server.requests if r.method == "POST"]) == 5
    assert (looked["requests"], looked["consecutive_failures"]) == (5, 0)


async def test_who_rests_is_told_with_the_time(server: Loopback) -> None:
    """A provider that is passed over for its failures is named, with when it is tried (S3-09)."""
    with Loopback() as second:
        at = {"api_key": KEY, "model": "m", "attempts": 1}
        factory = create_llm_factory(
            {
                "provider": "openai",
                "openai": {"base_url": server.url, **at},
                "groq": {"base_url": second.url, **at},
                "fallback": ["groq"],
            }
        )
        server.always(failure(500))
        second.always(reply("hi"))
        with pytest.warns(LLMFailoverWarning, match="failed"):
            answers = [await factory.call("q") for _ in range(3)]
        assert not any("passed_over" in each.metadata for each in answers)
        with pytest.warns(LLMFailoverWarning, match=r"`openai` is passed over .* in (2\d\d|300) s"):
            answer = await factory.call("q")
        assert "tried again in" in answer.metadata["passed_over"]["openai"]
        assert [each["provider"] for each in answer.metadata["attempts"]] == ["groq"]

        # As the last resort it is asked, and then it was not passed over.
        second.always(failure(500))
        server.always(reply("back"))
        answer = await factory.call("q")
        assert answer.content == "back"
        assert "passed_over" not in answer.metadata


def test_switching_leaves_the_first_ones_key_and_model(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Gemini with key, model and header OpenRouter is sent nothing of it (S0-12)."""
    configure(provider="gemini", api_key=KEY, model="gemini-x", headers={"x-team": "first-team"})
    monkeypatch.setenv("OPENROUTER_API_KEY", "openrouter-key-0123456789")
    monkeypatch.setenv("LLMPORT_LLM__OPENROUTER__BASE_URL", server.url)
    server.always(reply("hi"))
    configure(provider="openrouter")
    connector_for(resolve()).call_llm("q")

    sent = str(server.requests[0].headers) + server.requests[0].body.decode()
    assert KEY not in sent
    assert "gemini-x" not in sent
    assert "first-team" not in sent
    assert "openrouter-key-0123456789" in sent


def test_an_unregistered_provider_leaves_the_map() -> None:
    """What is in `PROVIDER_CONFIG` is in `CONNECTOR_MAP` until it is taken out (S0-44)."""
    PROVIDER_CONFIG["mine"] = {
        "api_key_vars": ["MINE_KEY"],
        "default_model": "m",
        "model_env_var": "MINE_MODEL",
        "connector": LLMProvider,
    }
    assert CONNECTOR_MAP["mine"] is LLMProvider
    del PROVIDER_CONFIG["mine"]
    assert "mine" not in CONNECTOR_MAP
