"""Server-sent events out of bytes: a pure object, fed with what the network gives.

Lines end at CR, LF or CRLF and nowhere else. `str.splitlines`, and with it httpx's `aiter_lines`,
also splits at U+2028, U+0085 and others, which are ordinary characters inside JSON.
"""

from __future__ import annotations

from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"


class LineTooLongError(ValueError):
    """A line of the stream is longer than the limit."""


class ServerEvent(NamedTuple):
    """One event of a stream.

    Attributes:
        data: the joined `data` lines, still in bytes.
        event: the event's type; empty where the server named none.
    """

    data: bytes
    event: str = ""


class LineSplitter:
    """Splits bytes into lines at CR, LF and CRLF, or at LF only, however the bytes arrive.

    Args:
        max_line_bytes: a longer line raises `LineTooLongError`.
        only_lf: whether a CR is a character of its line.
    """

    def __init__(self, max_line_bytes: int = 1_000_000, *, only_lf: bool = False) -> None:
        self._max = max_line_bytes
        self._only_lf = only_lf
        self._pieces: list[bytes] = []
        self._size = 0
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; give the lines that they complete.

        Raises:
            LineTooLongError: a line, complete or not, is over the limit.
        """
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk and not self._only_lf:
            # A CR ends its line at once; the LF that may follow is dropped with the next bytes.
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = chunk.split(b"\n")
        if lines and self._pieces:
            lines[0] = b"".join((*self._pieces, lines[0]))
            self._pieces.clear()
            self._size = 0
        if rest:
            self._pieces.append(rest)
            self._size += len(rest)
        if self._size > self._max or (len(lines) and max(map(len, lines)) > self._max):
            raise LineTooLongError(f"a line of the stream is longer than {self._max:,} bytes")
        return lines

    def flush(self) -> bytes:
        """Give the last line where it had no end; the splitter is empty afterwards."""
        rest = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return rest


class SSEDecoder:
    """Turns the bytes of an event stream into events.

    Args:
        max_line_bytes: the longest line, and the most data that one event may hold.
    """

    def __init__(self, max_line_bytes: int = 1_000_000) -> None:
        self._lines = LineSplitter(max_line_bytes)
        self._max = max_line_bytes
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._head: bytes | None = b""
        self._bare: list[bytes] = []
        self._bare_size = 0

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Take the next bytes; give the events that they complete.

        Raises:
            LineTooLongError: a line or an event is over the limit.
        """
        if self._head is not None:
            self._head += chunk
            if len(self._head) < len(_BOM) and _BOM.startswith(self._head):
                return []
            chunk, self._head = self._head.removeprefix(_BOM), None
        events: list[ServerEvent] = []
        data = self._data
        for line in self._lines.feed(chunk):
            if line[:6] == b"data: " and not data:
                # What nearly every line of a model's stream is.
                data.append(line[6:])
                self._size = len(line)
            elif line:
                self._field(line)
            elif data:
                events.append(self._dispatch())
            else:
                self._event = ""
        return events

    def flush(self) -> list[ServerEvent]:
        """Give the event that the end of the stream cut off before its empty line.

        The standard discards it; here it may be the answer's end, from a server that does not
        write the last line feed. JSON that stands in the stream without being an event comes
        last: that is how Google ends a stream that fails.
        """
        if self._head:
            rest, self._head = self._head, None
            self._lines.feed(rest)
        line = self._lines.flush()
        if line:
            self._field(line)
        events = [self._dispatch()] if self._data else []
        bare, self._bare = b"\n".join(self._bare), []
        return [*events, ServerEvent(bare)] if bare else events

    def _dispatch(self) -> ServerEvent:
        data = self._data
        event = ServerEvent(data[0] if len(data) == 1 else b"\n".join(data), self._event)
        data.clear()
        self._size = 0
        self._event = ""
        return event

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value)
            if self._size > self._max:
                raise LineTooLongError(f"an event of the stream is over {self._max:,} bytes")
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif line[:1] in (b"{", b"[") or (self._bare and name):
            self._bare_size += len(line) + 1
            if self._bare_size > self._max:
                raise LineTooLongError(f"an event of the stream is over {self._max:,} bytes")
            self._bare.append(line)
