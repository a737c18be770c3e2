"""A picture of a diagram becomes a specification: what is sent, and what is refused before."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import vendors
from asking import asking
from drafts import GOOD, good
from loopback import Loopback, reply
from vendors import VENDORS

from llmport_magic.gmn import generate, parse
from llmport_magic.llm import Image
from llmport_magic.llm.capabilities import LLMCapabilities
from llmport_magic.llm.pictures import MOST_BYTES, media_type, picture

# The smallest picture: one pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 20
GIF = b"GIF89a" + b"\0" * 20
WEBP = b"RIFF\x10\0\0\0WEBPVP8 " + b"\0" * 20
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'
SEES = LLMCapabilities(vision=True)


# -- what a picture is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (GIF, "image/gif"),
        (WEBP, "image/webp"),
        (b"%PDF-1.7", None),
        (b"", None),
        (SVG, None),
    ],
)
def test_the_bytes_tell_the_type(data: bytes, kind: str | None) -> None:
    """What a file is says its beginning, not its name (S3-64)."""
    assert media_type(data) == kind


def test_a_picture_out_of_anything(tmp_path: Path) -> None:
    """A path, bytes, an image of Pillow and an `Image` are pictures (S3-64)."""
    path = tmp_path / "diagram.jpg"
    path.write_bytes(PNG)
    pillow = SimpleNamespace(size=(1, 1), save=_saved)

    for source in (path, str(path), PNG, bytearray(PNG), pillow, Image(data=PNG)):
        found = picture(source)
        assert (found.data, found.media_type) == (PNG, "image/png")
    assert picture(Image(url="https://example.org/x.png")).url


def _saved(to: io.BytesIO, kind: str) -> None:
    assert kind == "PNG"
    to.write(PNG)


def test_an_image_of_pillow() -> None:
    """An image that Pillow made is sent as PNG (S3-64)."""
    pillow = pytest.importorskip("PIL.Image")

    assert picture(pillow.new("RGB", (2, 2))).media_type == "image/png"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (SVG, "is an SVG, which models do not take: save it as PNG"),
        (b"%PDF-1.7", "is no PNG, JPEG, GIF or WebP"),
        (PNG + b"\0" * MOST_BYTES, r"has 5,000,\d+ bytes, 5,000,000 at most"),
        (3, "a picture is a path, bytes or an image of Pillow, not int"),
    ],
)
def test_what_is_no_picture_is_refused(source: Any, told: str, server: Loopback) -> None:
    """Nothing is sent of what no model takes (S3-64)."""
    with pytest.raises(ValueError, match=told):
        generate("a lamp", image=source, connector=asking(server, capabilities=SEES))
    assert server.requests == []


def test_files_are_refused_by_name(tmp_path: Path) -> None:
    """A file that is too long is not even read, one that is an SVG is named (S3-64)."""
    long, drawn = tmp_path / "long.png", tmp_path / "drawn.svg"
    with long.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    drawn.write_bytes(SVG)

    with pytest.raises(ValueError, match=r"`long\.png` has 5,000,001 bytes"):
        picture(long)
    with pytest.raises(ValueError, match=r"`drawn\.svg` is an SVG"):
        picture(drawn)
    with pytest.raises(FileNotFoundError):
        picture(tmp_path / "missing.png")


# -- the wire ------------------------------------------------------------------------------------

SHAPES = {
    "openai_chat": {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"},
    },
    "anthropic_messages": {
        "type": "image",
        "source": {
            "type": "base64",
            "media_type": "image/png",
            "data": base64.b64encode(PNG).decode(),
        },
    },
    "gemini_content": {
        "inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}
    },
    "ollama_chat": base64.b64encode(PNG).decode(),
}


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.dialect)
def test_each_vendor_gets_its_shape(vendor: Any, server: Loopback) -> None:
    """The picture stands in the request as each vendor wants it, before the words (S3-64)."""
    server.script(vendor.whole(GOOD))
    connector = vendors.asking(server, vendor, capabilities=SEES)
    spec = generate("as drawn", image=PNG, connector=connector)

    assert spec == good()
    assert _found(server.requests[0].json, SHAPES[vendor.dialect])
    assert "take its nodes and edges from there" in server.requests[0].body.decode()


def _found(body: Any, part: Any) -> bool:
    """Tell whether a part stands somewhere in a body."""
    if body == part:
        return True
    inner = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return any(_found(each, part) for each in inner)


def test_a_picture_is_enough(server: Loopback) -> None:
    """A diagram says what the agent is; no words are needed (S3-64)."""
    server.script(reply(GOOD))

    assert generate("", image=PNG, connector=asking(server, capabilities=SEES)) == good()


async def test_a_connector_takes_a_picture(server: Loopback) -> None:
    """`generate_gmn(image=…)` sends it with the prompt, and refuses it for who is blind (S3-64)."""
    server.always(reply(GOOD))
    seeing, blind = asking(server, capabilities=SEES), asking(server)

    assert parse(await seeing.generate_gmn("a lamp", image=PNG)) == good()
    assert base64.b64encode(PNG) in server.requests[0].body
    with pytest.raises(ValueError, match="takes no pictures"):
        await blind.generate_gmn("a lamp", image=PNG)
    assert len(server.requests) == 1


def test_a_model_that_does_not_see_is_not_asked(server: Loopback) -> None:
    """It is told with the model's name, and what to do, before the network (S3-64)."""
    with pytest.raises(
        ValueError, match=r"nothing was sent: `m` of .* takes no pictures .*vision=True"
    ):
        generate("as drawn", image=PNG, connector=asking(server, capabilities=LLMCapabilities()))
    assert server.requests == []


def test_the_picture_stays_in_a_repair(server: Loopback) -> None:
    """A second request has the picture, too (S3-64)."""
    server.script(reply("node state x {"), reply(GOOD))
    generate("as drawn", image=PNG, connector=asking(server, capabilities=SEES))

    assert all(_found(each.json, SHAPES["openai_chat"]) for each in server.requests)
