"""Secrets: a type that never shows its value, where keys are looked up, and `redact()`.

Everything that leaves the process as text (cell output, log, journal, panel message, error) goes
through `redact()`. The value itself is only ever taken out by `Secret.reveal()`, which belongs in
the builder of a request's headers and nowhere else.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterable
from typing import Any, NoReturn
from urllib.parse import quote

MASK = "********"
# Shorter values would redact ordinary words out of every text.
_SHORTEST = 6
# What providers echo of a key: they show its head and its tail.
_ECHO = 8

_KEY_PATTERN = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|gsk_[A-Za-z0-9]{16,}|AIza[0-9A-Za-z_-]{30,}|xai-[A-Za-z0-9]{20,}"
    r"|hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16})"
)
_PATTERN_HEADS = ("sk-", "gsk_", "AIza", "xai-", "hf_", "ghp_", "gho_", "AKIA")
_OPEN_WORD = re.compile(r"[A-Za-z0-9_\-]{1,200}$")

_known: set[str] = set()
# Longest first, so that no spelling is cut out of a longer one.
_exact: tuple[str, ...] = ()
_echoes: dict[str, re.Pattern[str]] = {}


class Secret:
    """A value that must not be seen: an API key.

    Its repr, text, format, JSON and dictionary show `********`; it refuses to be pickled, and a
    copy is the object itself. `redact()` knows every secret that was ever made.

    Args:
        value: the text; surrounding white space is dropped, as it cannot be part of a header.

    Raises:
        ValueError: for an empty value.
    """

    __slots__ = ("_reveal",)
    _reveal: Callable[[], str]

    def __init__(self, value: str | Secret) -> None:
        text = value.reveal() if isinstance(value, Secret) else str(value).strip()
        if not text:
            raise ValueError("a secret cannot be empty")
        # In a closure, so that a traceback with locals or `vars()` has no text to print.
        object.__setattr__(self, "_reveal", lambda: text)
        _remember(text)

    def reveal(self) -> str:
        """Give the value itself: for the builder of request headers only."""
        return self._reveal()

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.reveal() == other.reveal()

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError("a secret cannot be changed")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: look it up again where it is needed")


def provider_variables(provider: str, setting: str) -> tuple[str, ...]:
    """Name the variables that hold a setting of one provider, `LLMPORT_LLM__GEMINI__MODEL` first.

    Args:
        provider: the provider's name.
        setting: `API_KEY`, `MODEL` or `BASE_URL`.
    """
    name = provider.upper().replace("-", "_")
    return tuple(f"{prefix}_LLM__{name}__{setting}" for prefix in ("LLMPORT", "MINDX"))


def key_variables(provider: str, variables: Iterable[str]) -> tuple[str, ...]:
    """Name the variables that may hold a provider's key: those of this package before its own."""
    return (*provider_variables(provider, "API_KEY"), *variables)


def find_key(variables: Iterable[str]) -> Secret | None:
    """Look a key up in the environment; an empty variable is no key.

    Args:
        variables: names of environment variables, the first one that is set wins.
    """
    for name in variables:
        value = variable(name)
        if value is not None:
            return Secret(value)
    return None


def variable(name: str) -> str | None:
    """Give the value of an environment variable; an empty one is not set."""
    return os.environ.get(name, "").strip() or None


def redact(text: str) -> str:
    """Take every known secret, in any spelling, and whatever looks like a key out of a text."""
    # A plain search is a hundred times faster than one pattern of all spellings.
    for value in _exact:
        if value in text:
            text = text.replace(value, MASK)
    for echo, pattern in _echoes.items():
        if echo in text:
            text = pattern.sub(MASK, text)
    return _KEY_PATTERN.sub(MASK, text)


class StreamRedactor:
    """Redacts a text that arrives in pieces, also where a secret is split between two of them.

    What could be the beginning of a secret is held back until more arrives.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Take the next piece; give what can be shown by now."""
        text = self._held + text
        shown = len(text) - _open_tail(text)
        self._held = text[shown:]
        return redact(text[:shown])

    def flush(self) -> str:
        """Give the rest when no more will arrive."""
        rest, self._held = redact(self._held), ""
        return rest


def _open_tail(text: str) -> int:
    """Count the characters at the end of `text` that a secret might begin with."""
    longest = max(map(len, _known), default=0)
    for size in range(min(longest - 1, len(text)), 0, -1):
        tail = text[-size:]
        if any(secret.startswith(tail) for secret in _known):
            return size
    word = _OPEN_WORD.search(text[-200:])  # from the start it would be tried at each letter
    if word and any(
        word[0].startswith(head) or head.startswith(word[0]) for head in _PATTERN_HEADS
    ):
        return len(word[0])
    return 0


def _remember(value: str) -> None:
    global _exact  # noqa: PLW0603 - one choke point for the whole process
    if len(value) < _SHORTEST or value in _known:
        return
    _known.update(_spellings(value))
    _exact = tuple(sorted(_known, key=len, reverse=True))
    if len(value) >= 2 * _ECHO + 4:
        head, tail = value[:_ECHO], value[-_ECHO:]
        _echoes[head] = re.compile(re.escape(head) + r"[\w\-*.…]*")
        # Bounded: an open repetition before the tail is quadratic on a long word.
        _echoes[tail] = re.compile(r"[\w\-*.…]{0,24}" + re.escape(tail))


def _spellings(value: str) -> set[str]:
    encoded = value.encode()
    return {
        value,
        quote(value, safe=""),
        json.dumps(value)[1:-1],
        base64.b64encode(encoded).decode(),
        base64.urlsafe_b64encode(encoded).decode(),
        base64.b64encode(encoded).decode().rstrip("="),
    }
