"""What happens on the road from a prompt to a module, as values that can be written down."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Kind(str, Enum):
    """What an event records."""

    PROMPT = "PROMPT"  # what is about to be sent
    PART = "PART"  # text that has arrived so far, in case the kernel is killed
    RESPONSE = "RESPONSE"  # an answer, whole or broken off
    VERIFY = "VERIFY"  # what checking the answer found
    SELECTED = "SELECTED"  # a stored version became current
    IMPORT_ERROR = "IMPORT ERROR"  # a checked module did not import in the kernel
    ERROR = "ERROR"  # a run ended without a module
    NOTE = "NOTE"  # anything else that a reader should know

    __str__ = str.__str__


def _new_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the log.

    Attributes:
        kind: what happened.
        run: the id that all events of one cell run share.
        module: the module's name, `None` for a plain code cell.
        provider: who was asked.
        model: which model was asked.
        text: the prompt as written, the answer as it arrived, or a message.
        data: what else is known: `messages`, `options`, `usage`, `cost`, `seconds`,
            `finish_reason`, `status`, `verdict`, `version`, `attempt`, `request_id`, `cached`.
        id: the event's own id.
        ts: wall clock, seconds since the epoch.
    """

    kind: Kind
    run: str
    module: str | None = None
    provider: str | None = None
    model: str | None = None
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=_new_id)
    ts: float = field(default_factory=time.time)
