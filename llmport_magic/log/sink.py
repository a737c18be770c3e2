"""Where an event goes: the journal first, then the log notebook, a text file and the screen."""

from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path

from llmport_magic.log.events import Event, Kind
from llmport_magic.log.journal import Journal
from llmport_magic.log.pages import Pages
from llmport_magic.secrets import redact


class Sink:
    """The log of one module folder: a journal of this process, and the views of all journals.

    Args:
        directory: the module folder; the journal lies in its `.llmport/journal/`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.journal = Journal(directory)
        self.pages = Pages(directory, self.journal)

    async def record(
        self, event: Event, *, commit: bool = True, text: bool = False, echo: bool = False
    ) -> str | None:
        """Write an event; with `commit`, return only when it is on disk.

        Args:
            event: what happened.
            commit: wait for the disk.
            text: also append to `<module>.log`.
            echo: also print it.

        Returns:
            What the user should be told about the log itself, if anything.
        """
        notice = await self.journal.append(event, commit=commit)
        self.pages.changed()
        if event.kind is not Kind.PART:
            entry = _entry(event)
            if text:
                self._append(event.module or "llmport", entry)
            if echo:
                print(entry, end="")  # noqa: T201 - the user asked for it
        return notice

    def _append(self, name: str, entry: str) -> None:
        with (
            contextlib.suppress(OSError),
            (self.directory / f"{name}.log").open(
                "a", encoding="utf-8", errors="backslashreplace", newline="\n"
            ) as log,
        ):
            log.write(entry)

    def close(self) -> None:
        """Render what is due and close the journal."""
        self.pages.close()
        self.journal.close()


def _entry(event: Event) -> str:
    when = datetime.fromtimestamp(event.ts).astimezone().isoformat(timespec="seconds")
    who = f" {event.provider}/{event.model}" if event.provider else ""
    return redact(f"--- {event.kind} --- {when}{who}\n{event.text}\n\n")
