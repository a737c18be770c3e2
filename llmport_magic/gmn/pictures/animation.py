"""A run as a moving picture: the beliefs about one factor, step after step."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from llmport_magic.errors import GMNError
from llmport_magic.gmn.pictures.figures import (
    COLOURS,
    Theme,
    dress,
    mark,
    name_rows,
    new_figure,
    outline,
    scale,
    shortened,
    theme_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from llmport_magic.gmn.agents.history import History

_SIDE = 4.6


def animate(history: History, factor: str | int, theme: str, interval: int) -> FuncAnimation:
    """Draw the beliefs about a factor as they change; see `History.animate`.

    Raises:
        GMNError: there is no such factor or theme, or no step to draw.
    """
    colours, index = theme_of(theme), history.factor(factor)
    if not history.steps:
        raise GMNError("there is no step to draw; run the agent first")
    figure = new_figure(_SIDE + 1.0, _SIDE + 0.4, colours)
    axes = figure.subplots()
    draw = _grid if history.grid(index) else _bars
    show = draw(figure, axes, history, index, colours)

    show(0)
    # Where things stand is worked out once: it takes longer than to draw them.
    axes.set_title(history.moment(0), fontsize=12)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")

    def frame(step: int) -> list[Any]:
        title = axes.set_title(history.moment(step), color=colours.text, fontsize=12)
        return [*show(step), title]

    return _animation_class()(figure, frame, frames=len(history), interval=interval)


@cache
def _animation_class() -> type[FuncAnimation]:
    from matplotlib.animation import FuncAnimation

    class Walk(FuncAnimation):
        """One that a notebook plays without a setting of its own."""

        def __del__(self) -> None:
            """Say nothing where it was not shown: in a notebook that is no mistake."""

        def _repr_html_(self) -> str:
            player: str = self.to_jshtml()
            return player

    return Walk


def _grid(
    figure: Figure, axes: Axes, history: History, factor: int, colours: Theme
) -> Callable[[int], list[Any]]:
    """Draw a map of the grid with the way walked so far, and give what shows a step."""
    shape = history.grid(factor)
    assert shape is not None
    beliefs, truth = history.beliefs(factor), history.true_states(factor)
    image = axes.imshow(beliefs[0].reshape(shape), cmap=COLOURS, vmin=0, vmax=beliefs.max())
    dress(axes, colours)
    outline(axes, shape, colours)
    axes.set_xlabel(shortened(history.factors[factor], 50))
    scale(figure, image, axes, colours, aspect=32)
    size = min(18.0, 72 * _SIDE / max(shape) * 0.4)
    if goals := history.wanted(factor):
        down, across = np.divmod(goals, shape[1])
        mark(axes, across, down, size=size, goal=True)
    (way,) = axes.plot([], [], color="#ffffff", linewidth=1.5, alpha=0.8)
    here = mark(axes, [], [], size=size, goal=False)

    def show(step: int) -> list[Any]:
        image.set_data(beliefs[step].reshape(shape))
        if truth is not None:
            rows, columns = np.divmod(truth[: step + 1], shape[1])
            way.set_data(columns, rows)
            here.set_data(columns[-1:], rows[-1:])
        return [image, way, here]

    return show


def _bars(
    _: Figure, axes: Axes, history: History, factor: int, colours: Theme
) -> Callable[[int], list[Any]]:
    """Draw a bar for each state, and give what shows a step."""
    name, beliefs = history.factors[factor], history.beliefs(factor)
    truth, states = history.true_states(factor), beliefs.shape[1]
    bars = axes.barh(range(states), beliefs[0], color=colours.lines[0])
    dress(axes, colours)
    name_rows(axes, history, name, states)
    axes.set_xlim(0, 1)
    axes.set_ylim(states - 0.5, -0.5)
    axes.set_xlabel(f"probability of {shortened(name, 50)}")
    size = min(12.0, 72 * _SIDE / states * 0.5)
    if goals := history.wanted(factor):
        mark(axes, np.full(len(goals), 0.09), goals, size=size, goal=True)
    here = mark(axes, [], [], size=size, goal=False)

    def show(step: int) -> list[Any]:
        for bar, probability in zip(bars, beliefs[step], strict=True):
            bar.set_width(probability)
        if truth is not None:
            here.set_data([0.03], truth[step : step + 1])
        return [*bars, here]

    return show
