"""Text as it may be shown and sent: what hides in it is written out, what looks secret is masked.

Characters that nobody sees (zero width, tags, variation selectors) or that turn the order of a
line around can carry instructions that only a model reads.
"""

from __future__ import annotations

import re

from llmport_magic.secrets import MASK, redact

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SECRET_WORD = r"(?:passw(?:or)?d|passphrase|secret|api_?key|access_?key|auth_?token|access_?token)"  # noqa: S105 - words, no secret
# The name, what assigns it, and the text in quotes that it is given.
_ASSIGNED = re.compile(
    rf"(?i)(\b\w*{_SECRET_WORD}\w*[\"']?\s*(?::\s*str\s*)?[:=]\s*)([\"'])(?:(?!\2)[^\n\\]|\\.){{4,}}\2"
)
_SECRET_NAME = re.compile(_SECRET_WORD, re.IGNORECASE)


def visible(text: str) -> str:
    r"""Give a text in which every hidden character is written out, as in `\u200b`."""
    return _HIDDEN.sub(lambda match: _escape(match[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:  # the last of one byte
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # of two bytes


def one_line(text: str, limit: int) -> str:
    """Give a text in one line of at most `limit` characters, with `…` where it was cut."""
    # A long text is not worked on in whole for a line of it.
    line = text[: 4 * limit].replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")
    return line[:limit] + "…" if len(line) > limit or len(text) > 4 * limit else line


def without_secrets(text: str) -> tuple[str, bool]:
    """Mask what is a known secret, looks like a key, or is assigned to a name that says so.

    Returns:
        the text, and whether something was masked.
    """
    masked = _ASSIGNED.sub(lambda match: f"{match[1]}{match[2]}{MASK}{match[2]}", redact(text))
    return masked, masked != text


def names_a_secret(name: str) -> bool:
    """Tell whether a column or an entry of this name holds passwords or keys."""
    return _SECRET_NAME.search(_HIDDEN.sub("", name)) is not None
