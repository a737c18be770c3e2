"""The look of figures: their colours, marks and labels.

Figures are made without pyplot, so that nothing is shown, kept or configured behind anybody's
back, and say every colour themselves, so that a notebook's theme cannot make them illegible.
matplotlib is imported when the first one is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from llmport_magic.errors import GMNError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

    from llmport_magic.gmn.agents.history import History

_LONGEST_LABEL = 24
_MOST_OUTLINED = 15
# From how many steps on a line has no markers.
MOST_MARKED = 60
# States or actions that have a name each beside a map; of more, every second or third.
MOST_ROWS = 24
# How small a star, and a dot where it is explained, may be, in points.
_LEAST_STAR, _LEAST_DOT = 8.0, 5.0
# Told apart with every common kind of colour blindness, also in grey.
COLOURS = "viridis"


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a figure.

    Attributes:
        background: behind everything.
        text: of titles and labels.
        faint: of frames, and of lines that are not the subject.
        lines: of those that are; from the palette of Okabe and Ito, https://jfly.uni-koeln.de/color
            (read on 2026-11-21), which the colour-blind can tell apart.
    """

    background: str
    text: str
    faint: str
    lines: tuple[str, ...]


THEMES = {
    "light": Theme(
        background="#ffffff",
        text="#1f2328",
        faint="#8c959f",
        lines=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b27300", "#000000"),
    ),
    "dark": Theme(
        background="#15181d",
        text="#e6e8eb",
        faint="#7d8590",
        lines=("#56b4e9", "#e69f00", "#2fc79a", "#e39ac4", "#f0e442", "#ffffff"),
    ),
}


def theme_of(name: str) -> Theme:
    """Give a theme by its name.

    Raises:
        GMNError: there is none of that name.
    """
    if name not in THEMES:
        raise GMNError(f"there is no theme {name!r}; there is `light` and `dark`")
    return THEMES[name]


def new_figure(width: float, height: float, colours: Theme) -> Figure:
    """Make a figure that no window and no pyplot knows of, and that a notebook shows.

    Raises:
        GMNError: matplotlib is not installed.
    """
    figure_class = _figure_class()
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return figure_class(
        figsize=(width, height),
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06),
        facecolor=colours.background,
    )


@cache
def _figure_class() -> type[Figure]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise GMNError("pictures need matplotlib: `pip install 'llmport-magic[gmn]'`") from error

    class Picture(Figure):
        """IPython draws only figures of pyplot by itself."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            FigureCanvasAgg(self)

        def _repr_png_(self) -> bytes:
            drawn = BytesIO()
            self.savefig(drawn, format="png", dpi=100)
            return drawn.getvalue()

    return Picture


def shortened(text: str, most: int = _LONGEST_LABEL) -> str:
    """Cut a label that is too long in its middle, where names differ least."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[-end:]}"


def dress(axes: Axes, colours: Theme, title: str = "") -> None:
    """Give axes a theme's colours, whatever the user's own style is."""
    axes.set_facecolor(colours.background)
    axes.tick_params(which="both", colors=colours.text, labelsize=9)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_color(colours.faint)
    axes.xaxis.label.set_color(colours.text)
    axes.yaxis.label.set_color(colours.text)
    axes.set_title(shortened(title, 80), color=colours.text, fontsize=10, loc="left")


def mark(axes: Axes, xs: Any, ys: Any, *, size: float, goal: bool) -> Line2D:
    """Mark true states with a dot, or wanted ones with a star; both show on every colour."""
    (marks,) = axes.plot(
        xs,
        ys,
        linestyle="none",
        marker="*" if goal else "o",
        markersize=max(size * 1.7, _LEAST_STAR) if goal else size * 0.9,
        markerfacecolor="#ffffff" if goal else "#d55e00",
        markeredgecolor="#000000" if goal else "#ffffff",
        markeredgewidth=0.9,
        label="wanted most" if goal else "true state",
        clip_on=False,
        zorder=3 if goal else 4,
    )
    return marks


def outline(axes: Axes, shape: tuple[int, int], colours: Theme) -> None:
    """Show where a grid's cells end, unless they are small, and no ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    if max(shape) > _MOST_OUTLINED:
        return
    axes.set_xticks(np.arange(shape[1] - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(shape[0] - 1) + 0.5, minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(visible=True, which="minor", color=colours.faint, linewidth=0.4, alpha=0.7)


def heading(part: SubFigure, text: str, colours: Theme) -> None:
    """Write what a part of a figure shows above it."""
    part.suptitle(
        text, color=colours.text, fontsize=12, fontweight="bold", x=0.01, horizontalalignment="left"
    )


def legend(part: SubFigure, axes: Axes, colours: Theme) -> None:
    """Say at the top right what the marks in some axes mean."""
    from matplotlib.lines import Line2D

    handles, labels = axes.get_legend_handles_labels()
    if handles:
        shown = part.legend(
            handles,
            labels,
            loc="upper right",
            ncols=len(handles),
            frameon=False,
            labelcolor=colours.text,
            fontsize=9,
        )
        for handle in shown.legend_handles:
            # The marks of a large map are small; what they mean must be seen.
            if isinstance(handle, Line2D):
                least = _LEAST_STAR if handle.get_marker() == "*" else _LEAST_DOT
                handle.set_markersize(max(handle.get_markersize(), least))


def scale(
    part: Figure | SubFigure, image: Any, axes: Any, colours: Theme, *, aspect: float = 14
) -> None:
    """Say which colour is which probability."""
    from matplotlib.ticker import MaxNLocator

    bar = part.colorbar(image, ax=axes, fraction=0.025, pad=0.01, aspect=aspect)
    bar.locator = MaxNLocator(nbins=4)
    bar.set_label("probability", color=colours.text, fontsize=9)
    bar.ax.tick_params(colors=colours.text, labelsize=8)
    bar.outline.set_edgecolor(colours.faint)


def name_rows(axes: Axes, history: History, node: str, count: int) -> None:
    """Name the states or actions beside their rows, as many as there is room for."""
    every = -(-count // MOST_ROWS)
    ticks = range(0, count, every)
    axes.set_yticks(list(ticks), [shortened(history.label(node, tick)) for tick in ticks])


def steps_below(axes: Axes, count: int) -> None:
    """Number the steps below some axes."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_xlabel("step", fontsize=9)


def line_of(index: int, colours: Theme, count: int) -> dict[str, Any]:
    """Give the style of the nth line of `count` steps: no two look the same."""
    styles = ("-", "--", ":", "-.")
    return {
        "color": colours.lines[index % len(colours.lines)],
        "linestyle": styles[index // len(colours.lines) % len(styles)],
        "marker": "os^Dvx"[index % 6] if count <= MOST_MARKED else "",
        "markersize": 4,
        "linewidth": 1.6,
    }
