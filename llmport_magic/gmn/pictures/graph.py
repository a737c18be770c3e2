"""A specification as a factor graph: an SVG that is written here and loads nothing.

From the left: actions, transitions, hidden states, emissions, observations, and what is wanted.
What can have a value is round, what relates values is square, and a dashed line brings in the step
before. The picture has a background of its own, since a notebook shows it as an image, which knows
the colours of the browser and not those of the notebook.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

from llmport_magic.gmn.notation.values import write_value

if TYPE_CHECKING:
    from llmport_magic.gmn.notation.nodes import Value
    from llmport_magic.gmn.spec import Spec

# Pixels.
WIDTH, HEIGHT = 156, 46
_ACROSS, _DOWN = WIDTH + 40, HEIGHT + 22
_MARGIN, _TOP = 22, 92
_NAME, _DETAIL = 13, 11
# A character of a monospaced font is about 0.6 of its size wide: Courier 0.600, DejaVu 0.602.
_CHARACTER = 0.61

_HEADINGS = ("actions", "transitions", "hidden states", "emissions", "observations", "preferences")

# Fill and stroke, for light and then for dark.
_COLOURS = {
    "card": ("#ffffff", "#d0d7de", "#15181d", "#3d444d"),
    "text": ("#1f2328", "none", "#e6e8eb", "none"),
    "faint": ("#59636e", "none", "#9aa4af", "none"),
    "edge": ("none", "#6e7781", "none", "#8b949e"),
    "tip": ("#6e7781", "none", "#8b949e", "none"),
    "action": ("#fff1e5", "#bc4c00", "#3b1f0b", "#f0883e"),
    "state": ("#ddf4ff", "#0969da", "#0c2d4a", "#58a6ff"),
    "relation": ("#ffffff", "#59636e", "#1c2128", "#9aa4af"),
    "observation": ("#e7ebef", "#59636e", "#2d333b", "#9aa4af"),
    "preference": ("#fbefff", "#8250df", "#2b1d46", "#bc8cff"),
}


@dataclass(frozen=True, slots=True)
class Box:
    """A node's place in the picture.

    Attributes:
        name: the node's.
        detail: what stands below its name.
        look: which colours.
        x: its left end.
        y: its middle.
    """

    name: str
    detail: str
    look: str
    x: float
    y: float


def factor_graph(spec: Spec) -> str:
    """Draw a specification as an SVG, light or dark as the reader's system is."""
    boxes, headings = _layout(spec)
    wide = _MARGIN + WIDTH + max(box.x for box in boxes.values())
    high = _MARGIN + HEIGHT / 2 + max(box.y for box in boxes.values())
    rules = "".join(
        f".gmn-graph .{look}{{fill:{fill};stroke:{stroke}}}"
        for look, (_, _, fill, stroke) in _COLOURS.items()
    )
    size = f'width="{wide:g}" height="{high:g}"'
    frame = f'x="0.5" y="0.5" width="{wide - 1:g}" height="{high - 1:g}" rx="8"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {wide:g} {high:g}"',
        ' class="gmn-graph" role="img" style="max-width:100%;height:auto">',
        f"<title>{_safe(f'Factor graph of {spec.name}')}</title>",
        f"<desc>{_safe(describe(spec))}</desc>",
        f"<style>@media (prefers-color-scheme:dark){{{rules}}}</style>",
        f"<rect {frame} {_look('card')}/>",
        *_title(spec, wide),
        *(_text(x + WIDTH / 2, _TOP - 16, text, "faint", 12) for x, text in headings),
        *_edges(spec, boxes),
        *(line for box in boxes.values() for line in _drawn(box)),
        "</svg>",
    ]
    return "\n".join(lines)


def as_html(spec: Spec) -> str:
    """Give the picture as an image that is never wider than its page.

    JupyterLab cuts an SVG that is wider than a cell's output, and shows one of a notebook that it
    does not trust not at all.
    """
    data = base64.b64encode(factor_graph(spec).encode()).decode()
    return (
        f'<img style="max-width:100%;height:auto" alt="{_safe(describe(spec))}" '
        f'src="data:image/svg+xml;base64,{data}">'
    )


def describe(spec: Spec) -> str:
    """Say in sentences what the picture shows, for who cannot see it."""
    transitions = [
        f"Transition {each.name} leads to {each.to} from "
        f"{_listed([*each.of, *filter(None, [each.by])])}."
        for each in spec.transitions
    ]
    emissions = [
        f"Emission {each.name} gives {each.to} from {_listed(each.of)}." for each in spec.emissions
    ]
    return " ".join(
        [
            f"Hidden states: {_listed(f'{each.name} ({each.size})' for each in spec.factors)}.",
            f"Observations: {_listed(f'{each.name} ({each.size})' for each in spec.modalities)}.",
            f"Actions: {_listed(f'{each.name} ({each.size})' for each in spec.controls)}.",
            *transitions,
            *emissions,
            *(f"Preference {each.name} is over {each.over}." for each in spec.preferences),
        ]
    )


# -- where things stand ----------------------------------------------------------------------


def _layout(spec: Spec) -> tuple[dict[str, Box], list[tuple[float, str]]]:
    """Place every node, a relation beside what it leads to; give the headings' places, too."""
    columns, x = _columns(spec), float(_MARGIN)
    boxes: dict[str, Box] = {}
    headings: list[tuple[float, str]] = []
    for heading, nodes in zip(_HEADINGS, columns, strict=True):
        if not nodes:
            continue
        headings.append((x, heading))
        for name, detail, look, row in nodes:
            boxes[name] = Box(name, detail, look, x, _TOP + row * _DOWN + HEIGHT / 2)
        x += _ACROSS
    return boxes, headings


def _columns(spec: Spec) -> list[list[tuple[str, str, str, float]]]:
    """Give the nodes of each column: name, detail, look and row, counted from the top."""
    factors = {each.name for each in spec.factors}
    of_states = [each for each in spec.preferences if each.over in factors]
    right = len(spec.modalities) + len(of_states)
    rows = max(len(spec.controls), len(spec.factors), right)
    control = _rows([each.name for each in spec.controls], (rows - len(spec.controls)) / 2)
    state = _rows([each.name for each in spec.factors], (rows - len(spec.factors)) / 2)
    seen = _rows([each.name for each in spec.modalities], (rows - right) / 2)
    wanted = _rows([each.name for each in of_states], (rows + right) / 2 - len(of_states))
    return [
        [(c.name, f"{c.size} actions", "action", control[c.name]) for c in spec.controls],
        [(t.name, _short(t.matrix), "relation", state[t.to]) for t in spec.transitions],
        [(f.name, _sized(f.size, "states", f.shape), "state", state[f.name]) for f in spec.factors],
        [
            *((e.name, _short(e.matrix), "relation", seen[e.to]) for e in spec.emissions),
            *((p.name, _short(p.values), "preference", wanted[p.name]) for p in of_states),
        ],
        [
            (m.name, _sized(m.size, "values", m.shape), "observation", seen[m.name])
            for m in spec.modalities
        ],
        [
            (p.name, _short(p.values), "preference", seen[p.over])
            for p in spec.preferences
            if p.over not in factors
        ],
    ]


def _rows(names: Iterable[str], first: float) -> dict[str, float]:
    return {name: first + place for place, name in enumerate(names)}


def _sized(size: int, what: str, shape: tuple[int, ...]) -> str:
    return f"{size} {what}" + (f", {' by '.join(map(str, shape))}" if shape else "")


def _short(value: Value) -> str:
    """Say a value in a few characters: a constructor as it is written, of a list only its size."""
    if not isinstance(value, tuple):
        return write_value(value)
    sizes: list[str] = []
    inner: Value = value
    while isinstance(inner, tuple):
        sizes.append(str(len(inner)))
        inner = inner[0] if inner else 0
    return f"{' by '.join(sizes)} numbers"


# -- what is drawn ---------------------------------------------------------------------------


def _title(spec: Spec, wide: float) -> Iterator[str]:
    about = f"{spec.agent_type}, horizon {spec.horizon}, precision {spec.precision:g}"
    if spec.habit is not None:
        about += f", habit {_short(spec.habit)}"
    room = wide - 2 * _MARGIN
    yield _text(_MARGIN, 32, _fitting(spec.name, room, 16), "text", 16, anchor="start", bold=True)
    yield _text(
        _MARGIN, 52, _fitting(about, room - 220, 12, ends=False), "faint", 12, anchor="start"
    )
    yield _text(wide - _MARGIN, 52, "dashed: of the step before", "faint", 12, anchor="end")


def _drawn(box: Box) -> Iterator[str]:
    radius = 4 if box.look in ("relation", "preference") else HEIGHT / 2
    middle, room = box.x + WIDTH / 2, WIDTH - 16
    yield f"<g><title>{_safe(f'{box.name}: {box.detail}')}</title>"
    yield (
        f'<rect x="{box.x:g}" y="{box.y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" '
        f'rx="{radius:g}" stroke-width="1.5" {_look(box.look)}/>'
    )
    yield _text(middle, box.y - 4, _fitting(box.name, room, _NAME), "text", _NAME, bold=True)
    yield _text(
        middle, box.y + 13, _fitting(box.detail, room, _DETAIL, ends=False), "faint", _DETAIL
    )
    yield "</g>"


def _edges(spec: Spec, boxes: dict[str, Box]) -> Iterator[str]:
    for each in spec.transitions:
        here, to = boxes[each.name], boxes[each.to]
        if each.by is not None:
            yield from _edge(boxes[each.by], here)
        yield from _edge(here, to, shift=-9)
        for place, name in enumerate(each.of):
            yield from _back(boxes[name], here, 5 * place)
    for emission in spec.emissions:
        here, count = boxes[emission.name], len(emission.of)
        for place, name in enumerate(emission.of):
            yield from _edge(boxes[name], here, end=(place - (count - 1) / 2) * 9)
        yield from _edge(here, boxes[emission.to])
    for preference in spec.preferences:
        yield from _edge(boxes[preference.over], boxes[preference.name])


def _edge(start: Box, stop: Box, *, shift: float = 0, end: float = 0) -> Iterator[str]:
    """Draw an arrow from the right of one box to the left of another."""
    x1, y1, x2, y2 = start.x + WIDTH, start.y + shift, stop.x, stop.y + shift + end
    bend = (x2 - x1) / 2
    yield (
        f'<path d="M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2 - 6:g} {y2:g}" '
        f'stroke-width="1.4" {_look("edge")}/>'
    )
    yield f'<path d="M{x2:g} {y2:g}l-8 -4v8z" {_look("tip")}/>'


def _back(start: Box, stop: Box, shift: float) -> Iterator[str]:
    """Draw a dashed arrow from the left of one box to the right of another: the step before."""
    x1, y1, x2, y2 = start.x, start.y + 9, stop.x + WIDTH, stop.y + min(9 + shift, HEIGHT / 2 - 5)
    bend = (x1 - x2) / 2
    yield (
        f'<path d="M{x1:g} {y1:g}C{x1 - bend:g} {y1:g} {x2 + bend:g} {y2:g} {x2 + 6:g} {y2:g}" '
        f'stroke-width="1.4" stroke-dasharray="4 3" {_look("edge")}/>'
    )
    yield f'<path d="M{x2:g} {y2:g}l8 -4v8z" {_look("tip")}/>'


# -- text ------------------------------------------------------------------------------------


def _look(name: str) -> str:
    # As attributes, too, so that a viewer which drops the style sheet shows the light colours.
    fill, stroke, *_ = _COLOURS[name]
    return f'class="{name}" fill="{fill}" stroke="{stroke}"'


def _text(
    x: float,
    y: float,
    text: str,
    look: str,
    size: int,
    *,
    anchor: str = "middle",
    bold: bool = False,
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}"{weight} '
        f'font-family="ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace" {_look(look)}>'
        f"{_safe(text)}</text>"
    )


def _fitting(text: str, room: float, size: int, *, ends: bool = True) -> str:
    """Cut a text that is too wide: in its middle, where names differ least, or at its end.

    Args:
        text: what may be too wide.
        room: in pixels.
        size: of the font, in pixels.
        ends: whether its end is kept as well as its beginning.
    """
    text = _printable(text)
    most = int(room / (size * _CHARACTER))
    if _columns_of(text) <= most:
        return text
    head, tail = "", ""
    while text and _columns_of(head + tail + text[0]) < most:
        if not ends or len(head) <= len(tail):
            head, text = head + text[0], text[1:]
        else:
            tail, text = text[-1] + tail, text[:-1]
    return f"{head}…{tail}"


def _columns_of(text: str) -> int:
    """Count a text's width in characters of a monospaced font: Chinese ones are two wide."""
    return sum(
        0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text
    )


def _safe(text: str) -> str:
    return escape(_printable(text))


def _printable(text: str) -> str:
    """Take out what XML cannot hold, and what would turn the direction of the rest."""
    return "".join(each if each.isprintable() else " " for each in text)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
