"""A run as a picture: beliefs, their entropy, expected free energy and the actions chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from llmport_magic.errors import GMNError
from llmport_magic.gmn.pictures.figures import (
    COLOURS,
    MOST_MARKED,
    MOST_ROWS,
    Theme,
    dress,
    heading,
    legend,
    line_of,
    mark,
    name_rows,
    new_figure,
    outline,
    scale,
    shortened,
    steps_below,
    theme_of,
)

if TYPE_CHECKING:
    from typing import Any

    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import NDArray

    from llmport_magic.gmn.agents.history import History

WIDTH = 10.0
# Inches of a picture's parts.
_HEADING, _TILE, _ROW, _CURVES = 0.6, 1.75, 0.26, 2.9
MOST_TILES, _TILES_A_ROW = 12, 6
_MOST_LINES = 6


def plot(history: History, factors: Sequence[str], theme: str) -> Figure:
    """Draw a run; see `History.plot`.

    Raises:
        GMNError: there is no such factor or theme, or no step to draw.
    """
    colours = theme_of(theme)
    indices = [history.factor(name) for name in factors] or list(range(len(history.factors)))
    if not history.steps:
        raise GMNError("there is no step to draw; run the agent first")
    heights = [_height_of(history, index) for index in indices] + [_CURVES]
    if history.controls:
        heights.append(_HEADING + 0.5 + sum(_rows(n) + 0.3 for n in history.model.controls))
    figure = new_figure(WIDTH, sum(heights), colours)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, index in zip(parts, indices, strict=False):
        if history.grid(index):
            _tiles(part, history, index, colours)
        else:
            _over_time(part, history, index, colours)
    left, right = parts[len(indices)].subfigures(1, 2, width_ratios=(2, 3))
    _entropies(left, history, indices, colours)
    _expectations(right, history, colours)
    if history.controls:
        _chosen(parts[-1], history, colours)
    for part in (*parts, left, right):
        part.set_facecolor(colours.background)
    return figure


# -- the parts -------------------------------------------------------------------------------


def _rows(count: int) -> float:
    return _ROW * min(max(count, 3), MOST_ROWS)


def _height_of(history: History, factor: int) -> float:
    if not history.grid(factor):
        return _HEADING + 0.7 + _rows(len(history.model.D[factor]))
    tiles = min(len(history), MOST_TILES)
    return _HEADING + _TILE * -(-tiles // _TILES_A_ROW)


def _tiles(part: SubFigure, history: History, factor: int, colours: Theme) -> None:
    """Draw the belief of each of at most twelve steps as a map of the grid."""
    shape = history.grid(factor)
    assert shape is not None
    name, beliefs = history.factors[factor], history.beliefs(factor)
    truth, goals = history.true_states(factor), history.wanted(factor)
    chosen = np.unique(np.linspace(0, len(history) - 1, min(len(history), MOST_TILES)).round())
    rows = -(-len(chosen) // _TILES_A_ROW)
    grid = part.subplots(rows, _TILES_A_ROW, squeeze=False)
    size = min(9.0, 72 * (_TILE - 0.5) / max(shape) * 0.5)
    for axes, step in zip(grid.flat, chosen.astype(int), strict=False):
        picture = beliefs[step].reshape(shape)
        image = axes.imshow(picture, cmap=COLOURS, vmin=0, vmax=beliefs.max())
        dress(axes, colours)
        axes.set_title(shortened(history.moment(step), 18), color=colours.text, fontsize=9)
        axes.set_label(f"{name} {step}")
        outline(axes, shape, colours)
        if goals:
            down, across = np.divmod(goals, shape[1])
            mark(axes, across, down, size=size, goal=True)
        if truth is not None:
            row, column = divmod(int(truth[step]), shape[1])
            mark(axes, [column], [row], size=size, goal=False)
    for axes in grid.flat[len(chosen) :]:
        axes.set_visible(False)
    heading(part, f"Belief about {shortened(name, 50)}", colours)
    legend(part, grid.flat[0], colours)
    scale(part, image, grid, colours)


def _over_time(part: SubFigure, history: History, factor: int, colours: Theme) -> None:
    """Draw the beliefs as one map: a row for each state, a column for each step."""
    name, beliefs = history.factors[factor], history.beliefs(factor)
    truth, goals = history.true_states(factor), history.wanted(factor)
    axes = part.subplots()
    image = axes.imshow(
        beliefs.T, cmap=COLOURS, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
    )
    dress(axes, colours)
    axes.set_label(name)
    name_rows(axes, history, name, beliefs.shape[1])
    steps_below(axes, len(history))
    size = min(8.0, 72 * _rows(beliefs.shape[1]) / beliefs.shape[1] * 0.5, 500 / len(history))
    if goals:
        mark(axes, np.full(len(goals), -0.5), goals, size=8, goal=True)
    if truth is not None:
        mark(axes, np.arange(len(history)), truth, size=size, goal=False)
    heading(part, f"Belief about {shortened(name, 50)}", colours)
    legend(part, axes, colours)
    scale(part, image, axes, colours)


def _entropies(part: SubFigure, history: History, factors: Sequence[int], colours: Theme) -> None:
    axes = part.subplots()
    for number, factor in enumerate(factors):
        axes.plot(
            np.arange(len(history)),
            history.entropy(factor),
            label=shortened(history.factors[factor]),
            **line_of(number, colours, len(history)),
        )
    dress(axes, colours)
    axes.set_label("entropy")
    axes.set_ylabel("nats", fontsize=9)
    # Certainty, which is 0 but for rounding, neither lies on the frame nor fills it.
    top = max(0.1, 1.06 * axes.get_ylim()[1])
    axes.set_ylim(-0.04 * top, top)
    steps_below(axes, len(history))
    heading(part, "Entropy of the beliefs", colours)
    axes.legend(frameon=False, labelcolor=colours.text, fontsize=9)


def _expectations(part: SubFigure, history: History, colours: Theme) -> None:
    """Draw every policy, faintly, and those that were best at the most steps in colour."""
    from matplotlib.collections import LineCollection

    values, steps = history.neg_efe, np.arange(len(history))
    axes = part.subplots()
    axes.add_collection(
        LineCollection(
            [np.column_stack([steps, each]) for each in values.T],
            colors=colours.faint,
            linewidths=0.6,
            alpha=0.45 if values.shape[1] > _MOST_LINES else 0.0,
        )
    )
    for number, policy in enumerate(_best(values)):
        axes.plot(
            steps,
            values[:, policy],
            label=shortened(_sequence(history, policy), 34),
            **line_of(number, colours, len(history)),
        )
    axes.plot(
        steps,
        values.max(axis=1),
        linestyle="none",
        marker="o",
        markersize=9 if len(history) <= MOST_MARKED else 4,
        markerfacecolor="none",
        markeredgecolor=colours.text,
        markeredgewidth=0.9,
        label="best at the step",
    )
    dress(axes, colours)
    axes.autoscale_view()
    axes.set_label("expected free energy")
    axes.set_ylabel("nats, larger is better", fontsize=9)
    steps_below(axes, len(history))
    count = values.shape[1]
    of_how_many = f", {_MOST_LINES} of {count:,} named" if count > _MOST_LINES else ""
    heading(part, f"Negative expected free energy of policies{of_how_many}", colours)
    axes.legend(
        frameon=False,
        labelcolor=colours.text,
        fontsize=8,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
    )


def _best(values: NDArray[Any]) -> list[int]:
    """Give the policies to draw in colour: all of a few, else those that were best most often."""
    if values.shape[1] <= _MOST_LINES:
        return list(range(values.shape[1]))
    often = np.bincount(values.argmax(axis=1), minlength=values.shape[1])
    order = np.lexsort((-values.mean(axis=0), -often))
    return [int(policy) for policy in order[:_MOST_LINES]]


def _sequence(history: History, policy: int) -> str:
    """Say what a policy does: `right, right, down`."""
    moments = [
        "+".join(
            history.label(name, int(index))
            for name, index in zip(history.controls, moment, strict=True)
        )
        for moment in history.policies[policy]
    ]
    return ", ".join(moments) if history.controls else "nothing to choose"


def _chosen(part: SubFigure, history: History, colours: Theme) -> None:
    counts = history.model.controls
    grid = part.subplots(len(counts), 1, squeeze=False, height_ratios=[_rows(n) for n in counts])
    for number, (axes, name) in enumerate(zip(grid.flat, history.controls, strict=True)):
        axes.plot(
            np.arange(len(history)),
            history.actions(name),
            **{**line_of(number, colours, 0), "linestyle": "none", "markersize": 6},
        )
        dress(axes, colours, name if len(counts) > 1 else "")
        axes.set_label(f"actions {name}")
        name_rows(axes, history, name, counts[number])
        axes.set_ylim(counts[number] - 0.5, -0.5)
        steps_below(axes, len(history))
    heading(part, "Actions chosen", colours)
