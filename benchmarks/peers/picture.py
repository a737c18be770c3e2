"""Draws the ratios as bars, on a logarithmic scale: legible on a light and on a dark page."""

from __future__ import annotations

import math
from html import escape

PANELS = {
    "first_answer": "First answer of a fresh process",
    "call": "A call",
    "wide": "A call, 100 at once",
    "each": "A chunk of a stream",
    "first_token": "First text of a stream",
}
WIDTH, NAMES, VALUES, ROW, HEAD = 760, 190, 60, 17, 34
LOWEST, HIGHEST = 0.25, 64.0
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.page { fill: #ffffff }
.head { font-weight: 600; font-size: 13px }
.value { font-variant-numeric: tabular-nums }
.bar { fill: #8c959f } .ours { fill: #0969da } .yard { fill: #57606a }
.line { stroke: #57606a; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .page { fill: #0d1117 }
  .bar { fill: #6e7681 } .ours { fill: #4493f8 } .yard { fill: #9198a1 }
  .line { stroke: #9198a1 }
}
"""


def _place(ratio: float) -> float:
    """Give the place of a ratio on the scale, in pixels."""
    share = math.log(ratio / LOWEST) / math.log(HIGHEST / LOWEST)
    return NAMES + min(1.0, max(0.0, share)) * (WIDTH - NAMES - VALUES)


def _bar(name: str, ratio: float, top: float) -> list[str]:
    kind = "ours" if name.startswith("llmport") else "yard" if name == "httpx" else "bar"
    end, middle = _place(ratio), top + ROW - 5
    height, width = ROW - 5, max(1.0, end - NAMES)
    label = f'<text x="{NAMES - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>'
    place = f'x="{NAMES}" y="{top + 2}" width="{width:.1f}" height="{height}"'
    value = f'<text class="value" x="{end + 6:.1f}" y="{middle}">{ratio:.2f}</text>'
    return [label, f'<rect class="{kind}" {place} rx="2"/>', value]


def draw(ratios: dict[str, dict[str, float]]) -> str:
    """Write the picture.

    Args:
        ratios: to raw httpx, by client and by what is measured.
    """
    parts: list[str] = []
    top = 44.0
    for what, title in PANELS.items():
        parts.append(f'<text class="head" x="{NAMES}" y="{top + 14}">{escape(title)}</text>')
        begin, top = top + 20, top + 20
        for name in sorted(ratios, key=lambda name: ratios[name][what]):
            parts += _bar(name, ratios[name][what], top)
            top += ROW
        one = _place(1.0)
        parts.append(f'<line class="line" x1="{one}" y1="{begin}" x2="{one}" y2="{top}"/>')
        top += HEAD - 20
    said = "CPU time of the client, raw httpx = 1, on a logarithmic scale; shorter is better"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" role="img" '
        f'aria-label="{said}">\n<style>{STYLE}</style>\n'
        f'<rect class="page" width="{WIDTH}" height="{top:.0f}"/>\n'
        f'<text class="head" x="8" y="18">What a call costs</text>\n'
        f'<text x="8" y="36">{said}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )
