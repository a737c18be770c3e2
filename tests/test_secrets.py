"""A key is shown nowhere."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import pprint
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmport_magic.llm import Image, LLMConfig, LLMProvider, load_project_config
from llmport_magic.llm.embedded import EmbeddedConnector
from llmport_magic.llm.transport import Outgoing
from llmport_magic.llm.wire import Target
from llmport_magic.secrets import MASK, Secret, StreamRedactor, find_key, redact
from llmport_magic.settings import Settings
from llmport_magic.settings.layer import Given, Layer, Rank

KEY = "planted-Key_0123456789/+abcdef"
PASSWORD = "planted-password"


def test_a_secret_never_shows_its_value() -> None:
    """Every way of printing a secret gives the mask (S0-11, X-07)."""
    secret = Secret(KEY)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", pprint.pformat({"k": secret})]
    shown += [repr(copy.copy(secret)), repr(copy.deepcopy({"k": secret})), "%s" % secret]  # noqa: UP031
    assert not [text for text in shown if KEY in text]
    assert secret.reveal() == KEY


def test_a_secret_is_not_pickled_and_not_json() -> None:
    """A secret refuses to leave the process as data (X-07)."""
    with pytest.raises(TypeError):
        pickle.dumps(Secret(KEY))
    with pytest.raises(TypeError):
        json.dumps({"key": Secret(KEY)})


def test_a_traceback_with_locals_does_not_show_it() -> None:
    """A traceback that prints locals has no value to print (X-07)."""

    def fail(secret: Secret) -> None:
        raise ValueError("no")

    try:
        fail(Secret(KEY))
    except ValueError as error:
        text = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
    assert KEY not in text
    assert "secret = " in text


@pytest.mark.parametrize(
    "spelling",
    [
        KEY,
        quote(KEY, safe=""),
        json.dumps(KEY)[1:-1],
        base64.b64encode(KEY.encode()).decode(),
        KEY[:8] + "****" + KEY[-4:],
        "…" + KEY[-8:],
    ],
)
def test_redact_knows_every_spelling(spelling: str) -> None:
    """A known key is taken out in plain, encoded and shortened form (X-07)."""
    Secret(KEY)
    text = redact(f"before {spelling} after")
    assert spelling not in text
    assert text.startswith("before ")
    assert text.endswith(" after")


def test_redact_takes_out_what_looks_like_a_key() -> None:
    """A key that nobody configured is recognised by its shape (X-07)."""
    assert "abcdefghij" not in redact("use sk-ant-abcdefghij0123456789 here")


def test_redact_leaves_ordinary_text() -> None:
    """Code and prose without a key stay to the letter."""
    text = 'def task(skip="sk-1"): return "disk-usage", b64("AAAA")'
    assert redact(text) == text


@given(st.integers(1, 20), st.text(alphabet="xyz \n", max_size=20))
def test_a_key_split_between_chunks_is_redacted(size: int, around: str) -> None:
    """A streamed text shows no key wherever its pieces are cut, and loses nothing else."""
    Secret(KEY)
    text = f"{around} {KEY} {around}"
    redactor = StreamRedactor()
    shown = "".join(redactor.feed(text[i : i + size]) for i in range(0, len(text), size))
    assert shown + redactor.flush() == f"{around} {MASK} {around}"


def test_an_empty_variable_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first variable that holds something counts; empty ones do not (S0-13)."""
    monkeypatch.setenv("FIRST_KEY_VARIABLE", "  ")
    monkeypatch.setenv("SECOND_KEY_VARIABLE", KEY)
    found = find_key(["FIRST_KEY_VARIABLE", "SECOND_KEY_VARIABLE"])
    assert found == Secret(KEY)
    assert find_key(["FIRST_KEY_VARIABLE"]) is None


@pytest.mark.parametrize(
    "address", [f"http://user:{PASSWORD}@host/v1", f"https://host/v1?key={PASSWORD}"]
)
def test_what_holds_an_address_shows_no_password(address: str, tmp_path: Path) -> None:
    """The repr of settings, of a connector and of what they are made of masks the address."""
    project = tmp_path / "loom.toml"
    project.write_text(f'[llm.mine]\nbase_url = "{address}"\n')
    config = LLMConfig(base_url=address, model="m", options={"at": address})
    layer = Layer(rank=Rank.USER, values={"base_url": Given(address, "a file")})
    holders = [
        Settings(base_url=address, headers={"at": address}),
        config,
        LLMProvider(LLMConfig(base_url="https://host/v1", model=address)),
        EmbeddedConnector(address),
        Target(provider="p", model="m", base_url=address),
        Outgoing(url=address, target=Target(provider="p", model="m", base_url=address)),
        Image(url=address),
        load_project_config(project),
        layer,
    ]
    shown = [text for holder in holders for text in (repr(holder), str(holder))]

    assert not [text for text in shown if PASSWORD in text]
    assert "model='m'" in repr(config)
    assert f"//{MASK}@host/v1'" in shown[0] or f"key={MASK}'" in shown[0]
