"""A planted key, every way of spelling it, and everything that an error or an object shows."""

from __future__ import annotations

import base64
import dataclasses
import gc
import json
import logging
import pickle
import pprint
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

KEY = 'planted-Key"0123456789/+abcdef'
_ENCODED = KEY.encode()
FORMS = {
    "plain": KEY,
    "base64": base64.b64encode(_ENCODED).decode(),
    "base64 without its end": base64.b64encode(_ENCODED).decode().rstrip("="),
    "base64 for URLs": base64.urlsafe_b64encode(_ENCODED).decode(),
    "in a URL": quote(KEY, safe=""),
    "in a URL, small": quote(KEY, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
    "in a form": quote_plus(KEY),
    "in JSON": json.dumps(KEY)[1:-1],
    "in JSON as PHP writes it": json.dumps(KEY)[1:-1].replace("/", "\\/"),
}


def leaks(text: str) -> list[str]:
    """Name the spellings of the key that stand in a text, each with what is around it."""
    return [
        f"{name}: {text[max(0, place - 150) : place + 80]}"
        for name, form in FORMS.items()
        if (place := text.find(form)) >= 0
    ]


@contextmanager
def exits_of(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Collect what leaves during a test, the most talkative logs and all warnings with it.

    A test adds what it sees; at the end none of it may hold the key.
    """
    found: list[str] = []
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield found
    # At this point `caplog.text` is that of the teardown only.
    records = caplog.get_records("call")
    found += [f"{record.getMessage()} {record.exc_text} {vars(record)}" for record in records]
    found += [str(warning.message) for warning in warned]

    spelled = leaks("\n".join(found))
    assert not spelled, spelled


def everything(error: BaseException) -> str:
    """Write an error as the most talkative tools would: locals, attributes, pickled, causes."""
    parts: list[str] = []
    todo: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while todo:
        one = todo.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        tb = _outside_tests(one.__traceback__)
        told = traceback.TracebackException(type(one), one, tb, capture_locals=True)
        parts += [*told.format(), repr(one), str(one), repr(one.args), pprint.pformat(vars(one))]
        parts += [_shown(value) for value in vars(one).values()]
        todo += [one.__cause__, one.__context__]
    parts.append(_pickled(error))
    return "\n".join(parts)


def _pickled(value: Any) -> str:
    """Write what pickling gives; what refuses it gives nothing."""
    try:
        return pickle.dumps(value).decode("latin-1")
    except (TypeError, AttributeError, pickle.PicklingError):
        return ""


def _shown(value: Any) -> str:
    """Write a value with what it holds, one level deep; responses and requests whole."""
    parts = [repr(value), str(value)]
    for name in ("headers", "content", "url", "text", "extensions"):
        held = getattr(value, name, None)
        parts.append(repr(list(held.items())) if hasattr(held, "items") else repr(held))
    return " ".join(parts)


def shown(*values: Any) -> str:
    """Write objects in every way in which somebody may print or keep them."""
    parts: list[str] = []
    for value in values:
        parts += [repr(value), str(value), pprint.pformat(value), f"{value}"]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            parts.append(repr([getattr(value, f.name) for f in dataclasses.fields(value)]))
        elif hasattr(value, "__dict__"):
            parts.append(repr(vars(value)))
        parts.append(_pickled(value))
    return "\n".join(parts)


def living_frames() -> str:
    """Write the locals of every frame that the garbage collector can reach."""
    gc.collect()
    parts: list[str] = []
    for found in gc.get_objects():
        frame = found if isinstance(found, FrameType) else None
        for name in ("cr_frame", "ag_frame", "gi_frame"):
            frame = frame or (getattr(found, name, None) if type(found).__name__ in _RUN else None)
        if isinstance(found, TracebackType):
            frame = found.tb_frame
        if frame is not None and not _is_test(frame):
            parts += [repr(value) for value in list(frame.f_locals.values()) if value is not parts]
    return "\n".join(parts)


_RUN = ("coroutine", "async_generator", "generator")


def _is_test(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return "/tests/" in name or "/_pytest/" in name or "pluggy" in name


def _outside_tests(tb: TracebackType | None) -> TracebackType | None:
    """Leave out the frames of the test itself, which planted the key."""
    while tb is not None and _is_test(tb.tb_frame):
        tb = tb.tb_next
    return tb
