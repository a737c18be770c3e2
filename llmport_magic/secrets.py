"""Secrets: a type that never shows its value, where keys are looked up, and `redact()`.

Everything that leaves the process as text (cell output, log, journal, panel message, error) goes
through `redact()`. The value itself is only ever taken out by `Secret.reveal()`, which belongs in
the builder of a request's headers and nowhere else.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from traceback import format_exception, walk_tb
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import quote, quote_plus

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
_IN_ADDRESS = re.compile(
    r"(//)[^/@\s]+@|([?&][\w-]*(?:key|token|secret|auth)[\w-]*=)[^&\s]+", re.IGNORECASE
)
_OPEN_WORD = re.compile(r"[A-Za-z0-9_\-]{1,200}$")

# Characters that JSON may write in another way, and a backslash that stands for itself.
_ESCAPED = re.compile(rb"\\(?:u00([2-7][0-9a-fA-F])|/|.)", re.DOTALL)
_HEADERS_OF_KEYS = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)

_known: set[str] = set()
# Longest first, so that no spelling is cut out of a longer one.
_exact: tuple[str, ...] = ()
_exact_bytes: tuple[bytes, ...] = ()
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

    def matches(self, form: re.Pattern[str]) -> bool:
        """Tell whether the value has a form, from its beginning on."""
        return form.match(self._reveal()) is not None

    def fingerprint(self) -> str:
        """Give what tells this value from others and does not lead back to it."""
        import hashlib

        text = self.reveal().encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=16, person=b"llmport account").hexdigest()

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


def redact_address(text: str) -> str:
    """Redact a text that may be or hold a URL: what that carries of users and keys goes, too."""
    return _IN_ADDRESS.sub(
        lambda found: f"{found[1] or found[2]}{MASK}{'@' if found[1] else ''}", redact(text)
    )


def masked_repr(holder: Any) -> str:
    """Give the repr of a dataclass in which a text may be or hold an address; see above."""
    values = ((each.name, getattr(holder, each.name)) for each in fields(holder) if each.repr)
    shown = (
        f"{name}={repr(redact_address(v)) if isinstance(v, str) else redact_address(repr(v))}"
        for name, v in values
    )
    return f"{type(holder).__qualname__}({', '.join(shown)})"


def looks_like_key(text: str) -> bool:
    """Tell whether a text is a known secret, or has the form of one."""
    return masked_text(text) != text or _KEY_PATTERN.search(text) is not None


def masked(data: bytes) -> bytes:
    """Take every known secret out of bytes that came from outside, and nothing else.

    What is left is as good JSON as it was. Escapes of characters that need none are undone first,
    so that they hide nothing.
    """
    # One byte is found at once; most texts have no escape of these.
    if b"\\" in data and (b"\\u00" in data or b"\\/" in data) and _exact_bytes:
        data = _ESCAPED.sub(_unescaped, data)
    for value in _exact_bytes:
        if value in data:
            data = data.replace(value, MASK.encode())
    return data


def masked_text(text: str) -> str:
    """Take every known secret out of a text, and nothing that only looks like one."""
    for value in _exact:
        if value in text:
            text = text.replace(value, MASK)
    return text


def hidden(headers: Mapping[str, str | Secret]) -> dict[str, str | Secret]:
    """Give headers with the values of those that hold keys, by their names, as secrets."""
    return {
        name: Secret(value) if value and _HEADERS_OF_KEYS.search(name) else value
        for name, value in headers.items()
    }


def scrub(error: BaseException) -> None:
    """Take secrets out of an error that somebody else's code raised, and out of its causes.

    Where a frame shows one in its locals, a traceback with locals would print it: then the frames
    are let go, and a note has their text.
    """
    chain = _chain(error)
    if any(_shows_secret(frame) for one in chain for frame, _ in walk_tb(one.__traceback__)):
        error.add_note(redact("".join(format_exception(error))))
        for one in chain:
            one.__traceback__ = None
    for one in chain:
        one.args = _scrubbed(one.args)
        for name, value in vars(one).items():
            one.__dict__[name] = _scrubbed(value)


def _chain(error: BaseException) -> list[BaseException]:
    """Give an error with everything that led to it."""
    found: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None and one not in found:
            found.append(one)
            todo += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return found


def _shows_secret(frame: FrameType) -> bool:
    for value in frame.f_locals.values():
        try:
            shown = repr(value)
        except Exception:  # noqa: BLE001, S112 - it is anybody's object
            continue
        if masked_text(shown) != shown:
            return True
    return False


def _scrubbed(value: Any) -> Any:
    """Give a value without secrets, as far as it is made of plain ones."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes):
        return masked(value)
    if type(value) in (tuple, list):
        return type(value)(_scrubbed(part) for part in value)
    if type(value) is dict:
        return {_scrubbed(name): _scrubbed(part) for name, part in value.items()}
    return value


def guard_logs(names: Iterable[str], silent: Iterable[str] = ()) -> None:
    """Redact what other packages log.

    Args:
        names: of the loggers that may log a header or an error.
        silent: of loggers whose details are keys in a form that no text search finds.
    """
    for name in silent:
        logging.getLogger(name).addFilter(_no_details)
    for name in (*names, *silent):
        logging.getLogger(name).addFilter(_redacted_record)


def _redacted_record(record: logging.LogRecord) -> bool:
    try:
        record.msg, record.args = redact(record.getMessage()), ()
    except (TypeError, ValueError):
        record.msg, record.args = redact(f"{record.msg} {record.args}"), ()
    if record.exc_info:
        record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        record.exc_info = None
    return True


def _no_details(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


def _unescaped(found: re.Match[bytes]) -> bytes:
    if found[0] == b"\\/":
        return b"/"
    character = bytes.fromhex(found[1].decode()) if found[1] else b""
    return found[0] if character in (b"", b'"', b"\\", b"\x7f") else character


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
    global _exact, _exact_bytes
    if len(value) < _SHORTEST or value in _known:
        return
    _known.update(_spellings(value))
    _exact = tuple(sorted(_known, key=len, reverse=True))
    _exact_bytes = tuple(value.encode("utf-8", "surrogatepass") for value in _exact)
    if len(value) >= 2 * _ECHO + 4:
        head, tail = value[:_ECHO], value[-_ECHO:]
        _echoes[head] = re.compile(re.escape(head) + r"[\w\-*.…]*")
        # Bounded: an open repetition before the tail is quadratic on a long word.
        _echoes[tail] = re.compile(r"[\w\-*.…]{0,24}" + re.escape(tail))


def _spellings(value: str) -> set[str]:
    encoded = value.encode("utf-8", "surrogatepass")
    in_url = quote(encoded, safe="")
    in_json = json.dumps(value)[1:-1]
    in_php = in_json.replace("/", "\\/")
    return {
        value,
        in_url,
        re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), in_url),
        quote(encoded),
        quote_plus(encoded),
        in_json,
        in_php,
        # Gateways quote the JSON of others in their own.
        json.dumps(in_json)[1:-1],
        json.dumps(in_php)[1:-1],
        base64.b64encode(encoded).decode(),
        base64.urlsafe_b64encode(encoded).decode(),
        base64.b64encode(encoded).decode().rstrip("="),
    }
