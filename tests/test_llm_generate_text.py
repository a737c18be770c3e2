"""`generate_text`: the shortest way to ask any connector, and what becomes of its words."""

from __future__ import annotations

from typing import Any

import pytest
from asking import asking
from loopback import Loopback, reply

from llmport_magic.errors import ConfigError, UsageError, UserError
from llmport_magic.llm import BaseLLMConnector, MockConnector
from llmport_magic.llm.registry import PROVIDER_CONFIG, connector_for, default_registry
from llmport_magic.settings import resolve


class Legacy(BaseLLMConnector):
    """What a third party writes: one method."""

    def call_llm(self, prompt: str) -> str:
        """Greet."""
        return "hi"


async def test_generate_text_leaves_out_what_is_none(server: Loopback) -> None:
    """Without a limit and a temperature neither is sent; the rest is mapped (S2-01, S2-22)."""
    server.always(reply("hi"))
    options, stop = {"top_k": 1}, ["END"]

    text = await asking(server).generate_text(
        "q", stop_sequences=stop, system_prompt="s", options=options, top_p=0.5, seed=0
    )

    body = server.requests[0].json
    assert text == "hi"
    assert body["messages"][0] == {"role": "system", "content": "s"}
    assert (body["stop"], body["top_p"], body["seed"]) == (["END"], 0.5, 0)
    assert not {"max_tokens", "max_completion_tokens", "temperature"} & body.keys()
    assert (options, stop) == ({"top_k": 1}, ["END"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"prompt": None}, "a prompt or message is a str, .* not NoneType"),
        ({"prompt": [3]}, "a prompt or message is a str, .* not int"),
        ({"model": 3}, "`model` in the call must be str, not `3`"),
        ({"max_tokens": -1}, "`max_tokens` in the call must be int of 0 or more, not `-1`"),
        ({"temperature": "hot"}, "`temperature` in the call must be float, not `hot`"),
        ({"tools": [3]}, "a tool is a function, or a mapping"),
        ({"tools": 3}, "`tools` is a list of functions or tools, not int"),
    ],
)
async def test_what_cannot_be_asked_is_one_line(
    server: Loopback, given: dict[str, Any], says: str
) -> None:
    """A prompt, an option or a tool of another kind is refused before anything is sent."""
    asked = {"prompt": "q", **given}
    told = {name: one for name, one in asked.items() if name != "prompt"}
    llm = asking(server)

    with pytest.raises(UserError, match=f"^{says}"):
        await llm.generate_text(**asked)
    with pytest.raises(UserError, match=f"^{says}"):
        await llm.complete(asked["prompt"], **told)
    assert server.requests == []


def test_what_is_no_model_and_no_provider_is_one_line() -> None:
    """The registry and its view refuse a value of another kind with what is wanted."""
    with pytest.raises(ConfigError, match=r"^the name of a model is a str, not NoneType$"):
        default_registry().get_model(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^`x` is set to a mapping of .*, not int$"):
        PROVIDER_CONFIG["x"] = 3  # type: ignore[assignment]


async def test_generate_text_asks_the_model_that_is_named(server: Loopback) -> None:
    """Another model may be named, and without one the connector's is asked (S2-07)."""
    server.always(reply("hi"))
    llm = asking(server)

    await llm.generate_text("q", "other:8b", 5, 0.0)
    await llm.generate_text("q", None or llm.model_name_for_api)

    first, second = (request.json for request in server.requests)
    assert (first["model"], first["max_tokens"], first["temperature"]) == ("other:8b", 5, 0.0)
    assert second["model"] == "m"


@pytest.mark.parametrize("llm", [Legacy(), MockConnector("hi")])
async def test_generate_text_refuses_what_it_does_not_know(llm: BaseLLMConnector) -> None:
    """An unknown word is an error that names the way for what only a provider knows (S2-22)."""
    with pytest.raises(UsageError, match="`extra`"):
        await llm.generate_text("q", mirostat_tau=1)
    assert await llm.generate_text("q", extra={"mirostat_tau": 1}) == "hi"


def test_every_connector_says_who_and_which_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in the catalogue has a provider's name and a model's (S2-07)."""
    default_registry.cache_clear()
    for row in default_registry().providers():
        for variable in row.api_key_vars:
            monkeypatch.setenv(variable, "planted-key-0123456789abcdef")
        llm = connector_for(resolve(provider=row.name))

        assert llm.provider_name == row.name
        assert isinstance(llm.model_name_for_api, str)
    assert Legacy().provider_name == "legacy"
