"""Keeps apart what a model thinks aloud, between `<think>` and `</think>`, and what it answers.

Servers without a reasoning parser give both in one text: https://console.groq.com/docs/reasoning
(`reasoning_format` `raw`) and https://docs.vllm.ai/en/latest/features/reasoning_outputs.html (read
2026-11-21). Only a text that begins with the tag is split. Where the server swallowed the opening
tag nothing is guessed, and where the closing one never came all of it is thought.
"""

from __future__ import annotations

_OPEN, _CLOSE = "<think>", "</think>"
# So much white space before the tag, and the text is shown as it comes.
_MOST_SPACE = 64


class ThinkTag:
    """Splits one text, which comes in pieces; white space after either tag is left out."""

    def __init__(self) -> None:
        self._held = ""
        self._state = "undecided"

    @property
    def over(self) -> bool:
        """Whether all that comes from here on is the answer's."""
        return self._state == "over"

    def concerns(self, piece: str) -> bool:
        """Whether a piece must be split: one that begins the text in another way need not."""
        begun = self._held or self._state != "undecided"
        return bool(begun) or piece.lstrip()[:1] in ("", "<")

    def split(self, piece: str, *, last: bool = False, plain: bool = False) -> tuple[str, str]:
        """Take a piece; give what of the answer and what of the thoughts is certain by now.

        Of the `last` piece it is all; a `plain` one is the answer's, unless the tag has come.
        """
        if plain and self._state == "undecided":
            self._state = "over"
        text, thought = self._certain(piece)
        if last and self._state == "undecided":
            text = self._take()
        elif last:
            thought += self._take()
        if last:
            self._state = "over"
        return text, thought

    def _certain(self, piece: str) -> tuple[str, str]:
        self._held += piece
        if self._state == "undecided" and not self._decided():
            return "", ""
        if self._state == "opened":
            self._held = self._held.lstrip()
            self._state = "thinking" if self._held else "opened"
        thought = self._thought() if self._state == "thinking" else ""
        if self._state == "closed":
            self._held = self._held.lstrip()
            self._state = "over" if self._held else "closed"
        text = self._take() if self._state == "over" else ""
        return text, thought

    def _decided(self) -> bool:
        begun = self._held.lstrip()
        if len(self._held) - len(begun) > _MOST_SPACE:
            self._state = "over"
        elif begun.startswith(_OPEN):
            self._held, self._state = begun[len(_OPEN) :], "opened"
        elif not _OPEN.startswith(begun):
            self._state = "over"
        return self._state != "undecided"

    def _thought(self) -> str:
        thought, closed, after = self._held.partition(_CLOSE)
        if closed:
            self._held, self._state = after, "closed"
            return thought
        cut = next(n for n in range(len(_CLOSE) - 1, -1, -1) if thought.endswith(_CLOSE[:n]))
        self._held = thought[len(thought) - cut :]
        return thought[: len(thought) - cut]

    def _take(self) -> str:
        taken, self._held = self._held, ""
        return taken


def apart(text: str) -> tuple[str, str]:
    """Split a whole text into the answer and the thoughts."""
    return ThinkTag().split(text, last=True)
