"""Reads what a sandboxed child sends, and refuses what is out of turn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llmport_magic.modules.comparison import Observation
from llmport_magic.modules.sandbox.job import ImportFailure
from llmport_magic.modules.sandbox.levels import level_of


class Seen:
    """What one child has sent so far.

    Attributes:
        begun: whether it has said what holds it, before which no candidate runs.
        ended: whether it came to its end.
    """

    def __init__(self) -> None:
        self.observations: dict[int, Observation] = {}
        self.running: int | None = None
        self.failure: ImportFailure | None = None
        self.printed = ""
        self.trial: Mapping[str, Any] | None = None
        self.level = "process only"
        self.begun = False
        self.ended = False
        self._stage = "begin"

    def take(self, line: bytes, nonce: str) -> str:
        """Take one line; gives what is wrong with it."""
        try:
            message = json.loads(line)
            if not isinstance(message, dict) or message.pop("nonce", None) != nonce:
                return "it wrote to the channel of the check"
            return self._accept(message.pop("kind"), message)
        except (ValueError, KeyError, TypeError, RecursionError):
            return "it wrote to the channel of the check"

    def _accept(self, kind: str, message: dict[str, Any]) -> str:
        if self._stage == kind == "begin":
            self.level = level_of(list(map(str, message["holds"])), limited=bool(message["limits"]))
            self.begun = True
            self._stage = "import"
        elif self._stage == kind == "import":
            self.printed = str(message["printed"])
            if message["error"]:
                self.failure = _failure(message)
            self._stage = "examples"
        elif self._stage == "examples" and kind == "start" and self.running is None:
            self.running = int(message["number"])
        elif kind == "example" and self.running is not None and message["number"] == self.running:
            self.observations[self.running] = _observation(message)
            self.running = None
        elif self._stage == "examples" and kind == "trial" and self.running is None:
            self.trial = dict(message["seen"])
        elif self._stage == "examples" and kind == "end" and self.running is None:
            self.ended = True
        else:
            return "it sent messages of the check out of turn"
        return ""


def _failure(message: Mapping[str, Any]) -> ImportFailure:
    return ImportFailure(
        error=str(message["error"]),
        message=str(message["message"]),
        line=message["line"] if isinstance(message["line"], int) else None,
        missing=message["missing"] if isinstance(message["missing"], str) else None,
        own=bool(message["own"]),
        bases=tuple(map(str, message.get("bases", ()))),
    )


def _observation(message: Mapping[str, Any]) -> Observation:
    value = message["value"]
    return Observation(
        value=None if value is None else str(value),
        printed=str(message["printed"]),
        error=str(message.get("error", "")),
        message=str(message.get("message", "")),
        bases=tuple(map(str, message.get("bases", ()))),
        missing=message["missing"] if isinstance(message.get("missing"), str) else None,
    )
