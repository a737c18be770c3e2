"""Server-sent events out of bytes: a pure object, fed with what the network gives.

Lines end at CR, LF or CRLF and nowhere else. `str.splitlines`, and with it httpx's `aiter_lines`,
also splits at U+2028, U+0085 and others, which are ordinary characters inside JSON.
"""

from __future__ import annotations

from itertools import takewhile

import msgspec

_BOM = b"\xef\xbb\xbf"


class LineTooLongError(ValueError):
    """A line of the stream is longer than the limit.

    Attributes:
        lines: the lines that came before it with the same bytes.
        events: the events that came before it with the same bytes.
    """

    def __init__(self, message: str, lines: list[bytes]) -> None:
        super().__init__(message)
        self.lines = lines
        self.events: list[ServerEvent] = []


class ServerEvent(msgspec.Struct, frozen=True, gc=False):
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
        self.after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; give the lines that they complete.

        Raises:
            LineTooLongError: a line, complete or not, is over the limit.
        """
        if self.after_cr and chunk:
            self.after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk and not self._only_lf:
            # A CR ends its line at once; the LF that may follow is dropped with the next bytes.
            self.after_cr = chunk.endswith(b"\r")
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
            before = list(takewhile(lambda line: len(line) <= self._max, lines))
            raise LineTooLongError(
                f"a line of the stream is longer than {self._max:,} bytes", before
            )
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
        if b"\n\n" in chunk and b"\r" not in chunk and self._between_events():
            chunk = self._whole_events(self._lines.flush() + chunk, events)
        try:
            self._events(self._lines.feed(chunk), events)
        except LineTooLongError as error:
            self._events(error.lines, events)
            error.events = events
            raise
        return events

    def _events(self, lines: list[bytes], events: list[ServerEvent]) -> None:
        data = self._data
        for line in lines:
            if not line:
                if data:
                    events.append(self._dispatch())
                else:
                    self._event = ""
            elif line[:6] == b"data: " and not data:
                # What nearly every line of a model's stream is.
                data.append(line[6:])
                self._size = len(line)
            else:
                self._field(line)

    def _between_events(self) -> bool:
        """Whether nothing but the beginning of one line is held."""
        return not self._data and not self._event and not self._lines.after_cr

    def _whole_events(self, chunk: bytes, events: list[ServerEvent]) -> bytes:
        """Take the events at the beginning that have the usual lines; give the rest back."""
        if len(chunk) > self._max:
            return chunk
        blocks = chunk.split(b"\n\n")
        for number, block in enumerate(blocks[:-1]):
            name, data = "", block
            if block[:7] == b"event: ":
                head, _, data = block.partition(b"\n")
                name = head[7:].decode("utf-8", "replace")
            if data[:6] != b"data: " or b"\n" in data:
                return b"\n\n".join(blocks[number:])
            events.append(ServerEvent(data[6:], name))
        return blocks[-1]

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
                raise LineTooLongError(f"an event of the stream is over {self._max:,} bytes", [])
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif line[:1] in (b"{", b"[") or (self._bare and name):
            self._bare_size += len(line) + 1
            if self._bare_size > self._max:
                raise LineTooLongError(f"an event of the stream is over {self._max:,} bytes", [])
            self._bare.append(line)


class JSONLines:
    """Turns the bytes of a stream that has one JSON object a line into events.

    Args:
        max_line_bytes: the longest line.
    """

    def __init__(self, max_line_bytes: int = 1_000_000) -> None:
        # A CR may stand between the parts of an object; it ends no line here.
        self._lines = LineSplitter(max_line_bytes, only_lf=True)

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Take the next bytes; give the events that they complete.

        Raises:
            LineTooLongError: a line is over the limit.
        """
        try:
            return _events(self._lines.feed(chunk))
        except LineTooLongError as error:
            error.events = _events(error.lines)
            raise

    def flush(self) -> list[ServerEvent]:
        """Give the last line where it had no end."""
        return _events([self._lines.flush()])


def _events(lines: list[bytes]) -> list[ServerEvent]:
    return [ServerEvent(line) for line in lines if line.strip()]
