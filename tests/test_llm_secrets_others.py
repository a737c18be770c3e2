"""A planted key in what others write: logs of libraries, errors of connector classes (X-07)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from leaking import FORMS, KEY, everything, exits_of

from llmport_magic.llm.connector import BaseLLMConnector


@pytest.fixture(autouse=True)
def exits(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Collect what leaves, and look through it."""
    with exits_of(caplog) as found:
        yield found


def test_the_logs_of_the_http_library_are_redacted(
    caplog: pytest.LogCaptureFixture, exits: list[str]
) -> None:
    """A key in what httpx, httpcore, hpack or asyncio log is masked, in a traceback too."""
    from llmport_magic.llm import clients
    from llmport_magic.secrets import Secret, guard_logs

    Secret(KEY)
    guard_logs(clients._LOGGERS, silent=clients._SILENT_LOGGERS)
    for name in (*clients._LOGGERS, *clients._SILENT_LOGGERS):
        for form in FORMS.values():
            logging.getLogger(name).debug("a header %s", [(b"x-api-key", form.encode())])
            logging.getLogger(name).debug("a header %s of %d", form)  # noqa: PLE1206 - as wrong as can be
        try:
            raise ValueError(KEY)
        except ValueError:
            logging.getLogger(name).exception("failed with %s", KEY)

    assert len(caplog.records) >= len(clients._LOGGERS) * 3
    assert all(
        record.levelno > logging.DEBUG for record in caplog.records if "hpack" in record.name
    )


_THIRD_PARTY = """
class Careless(Base):
    def __init__(self, api_key="", model=""):
        self.api_key = api_key
        if model == "refused":
            raise ValueError(f"no model for {api_key}")

    def call_llm(self, prompt):
        headers = {"authorization": "Bearer " + self.api_key}
        try:
            self.send(headers)
        except ValueError as cause:
            error = RuntimeError("not sent", {"headers": [headers]})
            error.request = headers
            raise error from cause

    def send(self, headers):
        raise ValueError(f"refused: {headers}")
"""


@pytest.fixture
def careless() -> Any:
    """Give a connector class of a third party that raises with its key in the message."""
    names: dict[str, Any] = {"Base": BaseLLMConnector, "__name__": "third_party"}
    exec(compile(_THIRD_PARTY, "/site-packages/third_party.py", "exec"), names)
    return names["Careless"]


async def test_an_error_of_a_third_party_loses_the_key(careless: Any, exits: list[str]) -> None:
    """A class that gets the key and raises with it keeps its own error, without the key."""
    from llmport_magic.secrets import Secret

    Secret(KEY)
    llm = careless(api_key=KEY)
    for ask in (llm.call("q"), anext(aiter(llm.stream("q")))):
        with pytest.raises(RuntimeError, match="not sent") as caught:
            await ask
        exits.append(everything(caught.value))
        assert isinstance(caught.value.__cause__, ValueError)
        assert "line" in "".join(caught.value.__notes__)
        assert "in send" in "".join(caught.value.__notes__)


async def test_an_error_of_a_third_party_without_a_key_keeps_its_frames() -> None:
    """Where there is nothing to hide a third party's traceback is whole, for its debugger."""

    class Careful(BaseLLMConnector):
        def call_llm(self, prompt: str) -> str:
            raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$") as caught:
        await Careful().call("q")

    assert caught.traceback[-1].name == "call_llm"
    assert not hasattr(caught.value, "__notes__")


def test_a_class_that_cannot_be_made_loses_the_key(careless: Any, exits: list[str]) -> None:
    """A constructor that raises with the key it was given shows it neither."""
    from llmport_magic.llm.registry import PROVIDER_CONFIG, connector_for, register_provider
    from llmport_magic.settings import resolve

    register_provider("careless", connector=careless)
    try:
        with pytest.raises(ValueError, match="no model for") as caught:
            connector_for(resolve(provider="careless", model="refused", api_key=KEY))
    finally:
        del PROVIDER_CONFIG["careless"]

    exits.append(everything(caught.value))
