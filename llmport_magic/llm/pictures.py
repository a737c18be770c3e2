"""A picture for a message, out of whatever somebody has: a path, bytes, or an image of Pillow."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from llmport_magic.errors import UsageError
from llmport_magic.llm.messages import Image

# More than a diagram needs, and no more than every vendor takes.
MOST_BYTES = 5_000_000
# The first bytes of a file say what it is; its name may say something else.
_FIRST_BYTES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def picture(source: Any) -> Image:
    """Give a picture that can be sent.

    Args:
        source: the path of a file, its bytes, an image of Pillow, or an `Image`.

    Raises:
        UsageError: it is no PNG, JPEG, GIF or WebP, or longer than 5 MB; it is a `ValueError`.
        OSError: the file cannot be read.
    """
    if isinstance(source, Image):
        return source if source.url else _checked(source.data, "the picture")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _checked(bytes(source), "the picture")
    if isinstance(source, (str, os.PathLike)):
        path = Path(source).expanduser()
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(_too_long(f"`{path.name}`", path.stat().st_size))
        return _checked(path.read_bytes(), f"`{path.name}`")
    if hasattr(source, "save") and hasattr(source, "size"):
        buffer = io.BytesIO()
        source.save(buffer, "PNG")
        return _checked(buffer.getvalue(), "the picture")
    raise UsageError(
        f"a picture is a path, bytes or an image of Pillow, not {type(source).__name__}"
    )


def _checked(data: bytes, name: str) -> Image:
    kind = media_type(data)
    if kind is None:
        svg = b"<svg" in data[:1000].lower()
        what = "is an SVG, which models do not take" if svg else "is no PNG, JPEG, GIF or WebP"
        raise UsageError(f"{name} {what}: save it as PNG")
    if len(data) > MOST_BYTES:
        raise UsageError(_too_long(name, len(data)))
    return Image(data=data, media_type=kind)


def media_type(data: bytes) -> str | None:
    """Tell what picture some bytes are; `None` for what models do not take."""
    for first, kind in _FIRST_BYTES:
        if data.startswith(first):
            return kind
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def _too_long(name: str, size: int) -> str:
    return f"{name} has {size:,} bytes, {MOST_BYTES:,} at most are sent: make it smaller"
