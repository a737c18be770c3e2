"""The factor graph of a specification: whole, safe, legible, and within its boxes."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Callable
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from gmn_runs import explorer, rat

from llmport_magic.gmn import (
    Control,
    Emission,
    Factor,
    Modality,
    Preference,
    Spec,
    Transition,
    parse,
)
from llmport_magic.gmn.notation.nodes import Call
from llmport_magic.gmn.pictures.graph import HEIGHT, WIDTH, factor_graph

SVG = "{http://www.w3.org/2000/svg}"
LONG = "a_very_long_name_of_sixty_characters_that_goes_on_and_on_xyz"
HOSTILE = '"><script>alert(1)</script>&\x00\x1b\u202e]]>'


def hostile() -> Spec:
    """Give a specification whose names are as bad as no text would let them be."""
    return Spec(
        name=f"</title><script>alert(1)</script>{HOSTILE}",
        factors=(
            Factor(name=LONG, size=10, initial=Call("onehot", (HOSTILE,))),
            Factor(name="状態" * 30, size=3),
            Factor(name="W" * 60, size=3),
        ),
        modalities=(Modality(name=HOSTILE, size=3),),
        controls=(Control(name="m" * 60, size=4),),
        emissions=(
            Emission(
                name="e" + HOSTILE,
                to=HOSTILE,
                of=(LONG, "W" * 60),
                matrix=Call("noisy", (0.123456789,), (("a_long_keyword_name", HOSTILE),)),
            ),
        ),
        transitions=(Transition(name="t", to=LONG, of=(LONG, "状態" * 30, "W" * 60), by="m" * 60),),
    )


def boxes(spec: Spec) -> dict[str, tuple[str, float, float]]:
    """Give look, left end and top of each node's box, by the first word of its tooltip."""
    found = {}
    for group in ET.fromstring(factor_graph(spec)).iter(f"{SVG}g"):
        title, shape = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
        assert title is not None
        assert title.text
        assert shape is not None
        place = shape.attrib
        found[title.text.partition(":")[0]] = place["class"], float(place["x"]), float(place["y"])
    return found


def arrows(spec: Spec) -> list[tuple[float, float]]:
    """Give the tip of each arrow."""
    paths = ET.fromstring(factor_graph(spec)).iter(f"{SVG}path")
    tips = [path.attrib["d"] for path in paths if path.attrib["class"] == "tip"]
    return [(float(x), float(y)) for tip in tips for x, y in re.findall(r"M(\S+) (\S+?)l", tip)]


def test_every_node_has_a_box() -> None:
    """Each node of a specification is there once, in the look of its kind."""
    found = boxes(rat())

    assert {name: look for name, (look, _, _) in found.items()} == {
        "move": "action",
        "go": "relation",
        "keep": "relation",
        "location": "state",
        "context": "state",
        "where": "relation",
        "pay": "relation",
        "tell": "relation",
        "place": "observation",
        "outcome": "observation",
        "cue": "observation",
        "want": "preference",
    }


def test_it_reads_from_left_to_right() -> None:
    """Controls, transitions, factors, emissions, modalities, preferences; partners in a row."""
    found = boxes(rat())
    order = ["move", "go", "location", "pay", "outcome", "want"]
    lefts = [found[name][1] for name in order]

    assert lefts == sorted(set(lefts))
    for one, other in (
        ("go", "location"),
        ("keep", "context"),
        ("tell", "cue"),
        ("want", "outcome"),
    ):
        assert found[one][2] == found[other][2]


@pytest.mark.parametrize("spec", [explorer(), rat(), hostile()], ids=["explorer", "rat", "hostile"])
def test_no_two_boxes_touch(spec: Spec) -> None:
    """Boxes lie apart from each other, and inside of the picture."""
    picture = ET.fromstring(factor_graph(spec)).attrib
    places = [(x, y) for _, x, y in boxes(spec).values()]

    for number, (x, y) in enumerate(places):
        assert 0 < x < float(picture["width"]) - WIDTH
        assert 0 < y < float(picture["height"]) - HEIGHT
        for across, down in places[number + 1 :]:
            assert abs(across - x) > WIDTH or abs(down - y) > HEIGHT


def test_an_arrow_for_each_relation() -> None:
    """Each arrow ends at a box: what a matrix depends on comes in, what it gives goes out."""
    spec = rat()
    found = boxes(spec)
    tips = arrows(spec)
    ends = [
        name
        for x, y in tips
        for name, (_, left, top) in found.items()
        if top <= y <= top + HEIGHT and x in (left, left + WIDTH)
    ]

    assert len(ends) == len(tips)
    counts = {name: ends.count(name) for name in found}
    assert counts == {
        "move": 0,
        "go": 2,  # the control, and the location before
        "keep": 1,
        "location": 1,
        "context": 1,
        "where": 1,
        "pay": 2,
        "tell": 2,
        "place": 1,
        "outcome": 1,
        "cue": 1,
        "want": 1,
    }


def test_a_preference_over_states_stands_beside_them() -> None:
    """It is drawn below the emissions, and an arrow leads there from its factor."""
    spec = rat()
    wish = Preference(name="calm", over="context", values=Call("goal", (1,)))
    spec = dataclasses.replace(spec, preferences=(*spec.preferences, wish))
    found = boxes(spec)

    assert found["calm"][1] == found["pay"][1]
    assert found["calm"][2] > found["tell"][2]
    assert (found["calm"][1], found["calm"][2] + HEIGHT / 2) in arrows(spec)


def test_what_a_box_says() -> None:
    """Constructors stand as they are written, and of a list of numbers its size."""
    said = [text.text for text in ET.fromstring(factor_graph(explorer())).iter(f"{SVG}text")]
    of_rat = [text.text for text in ET.fromstring(factor_graph(rat())).iter(f"{SVG}text")]

    for expected in ("25 states, 5 by 5", "grid(5, 5)", "noisy(0.9)", "goal(24, 3.0)", "5 actions"):
        assert expected in said
    assert "explorer, horizon 4, precision 16" in said
    assert "3 by 4 by 2 numbers" in of_rat
    assert "3 numbers" in of_rat


def test_without_actions_or_wishes_there_is_no_column_for_them() -> None:
    """A column that would be empty is left out, with its heading."""
    spec = parse(
        "node state s { size: 2 }\nnode observation o { size: 2 }\n"
        "node emission e { to: o, from: s, matrix: identity }\n"
    )
    picture = factor_graph(spec)

    assert "preferences" not in picture
    assert ">actions<" not in picture
    assert min(x for _, x, _ in boxes(spec).values()) < WIDTH


def test_texts_are_escaped() -> None:
    """Names that look like markup are text, and what XML cannot hold is gone."""
    picture = factor_graph(hostile())
    root = ET.fromstring(picture)

    assert "<script" not in picture
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        *("svg", "title", "desc", "style", "rect", "text", "path", "g")
    }
    assert "\x00" not in picture
    assert "\u202e" not in picture
    assert "alert(1)" in "".join(root.itertext())


def test_it_loads_and_runs_nothing() -> None:
    """There is no link, no script, no handler, and no address but the name of the format."""
    picture = factor_graph(hostile())

    assert re.findall(r"https?://[^\s\"]+", picture) == ["http://www.w3.org/2000/svg"]
    for element in ET.fromstring(picture).iter():
        assert not [key for key in element.attrib if key.startswith("on") or "href" in key]


def test_it_is_told_to_who_cannot_see_it() -> None:
    """It is one image with a title and a description that names every node and what it leads to."""
    root = ET.fromstring(factor_graph(rat()))
    title, told = root.find(f"{SVG}title"), root.find(f"{SVG}desc")

    assert root.attrib["role"] == "img"
    assert title is not None
    assert title.text == "Factor graph of rat"
    assert told is not None
    assert told.text == (
        "Hidden states: location (4), context (2). "
        "Observations: place (4), outcome (3), cue (3). Actions: move (4). "
        "Transition go leads to location from location, move. "
        "Transition keep leads to context from context. "
        "Emission where gives place from location. "
        "Emission pay gives outcome from location, context. "
        "Emission tell gives cue from location, context. "
        "Preference want is over outcome."
    )


def luminance(colour: str) -> float:
    """Give the relative luminance of WCAG 2.2, https://www.w3.org/TR/WCAG22 (read 2026-11-21)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str, other: str) -> float:
    """Give the contrast of two colours: from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_legible_in_light_and_dark(scheme: str) -> None:
    """In both schemes texts have a contrast of 4.5 to each fill, and strokes and arrows of 3."""
    picture = factor_graph(explorer())
    if scheme == "dark":
        pattern = r"\.gmn-graph \.(\w+)\{fill:(\S+?);stroke:(\S+?)\}"
    else:
        pattern = r'class="(\w+)" fill="(\S+)" stroke="(\S+)"'
    colours = {look: (fill, stroke) for look, fill, stroke in re.findall(pattern, picture)}
    card = colours["card"][0]

    assert len(colours) == 10
    for look in ("card", "action", "state", "relation", "observation", "preference"):
        fill, stroke = colours[look]
        assert contrast(colours["text"][0], fill) >= 4.5
        assert contrast(colours["faint"][0], fill) >= 4.5
        assert look == "card" or contrast(stroke, card) >= 3
    assert contrast(colours["edge"][1], card) >= 3
    assert contrast(colours["tip"][0], card) >= 3


def test_a_notebook_gets_text_and_picture() -> None:
    """A specification as a cell's value is its text, and the picture where one can be shown."""
    spec = explorer()
    bundle = spec._repr_mimebundle_()

    assert bundle.keys() == {"text/plain", "image/svg+xml", "text/html"}
    assert bundle["text/plain"] == spec.to_text()
    assert bundle["image/svg+xml"] == factor_graph(spec)


@pytest.mark.parametrize("make", [explorer, hostile])
def test_an_image_that_fits_its_page(make: Callable[[], Spec]) -> None:
    """As HTML the picture is one image, not wider than its place, which says what it shows."""
    spec = make()
    tags: list[tuple[str, dict[str, str | None]]] = []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))  # type: ignore[method-assign]
    reader.feed(spec._repr_mimebundle_()["text/html"])
    ((tag, found),) = tags

    assert (tag, found["style"]) == ("img", "max-width:100%;height:auto")
    assert (found["alt"] or "").startswith("Hidden states: ")
    kind, _, data = (found["src"] or "").partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(data).decode() == factor_graph(spec)
