"""Pictures of a run: they show the very numbers, are legible, and leave nothing behind."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings
import weakref
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gmn_models import grid_transition, model, noisy, point
from gmn_runs import explorer, rat, written
from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from warned import of_ours

from llmport_magic.errors import GMNError
from llmport_magic.gmn import History, TMaze
from llmport_magic.gmn.pictures import figures
from llmport_magic.gmn.pictures.figures import THEMES, shortened


@pytest.fixture(scope="module")
def walk() -> History:
    """Give a run of twelve steps on a grid of 5 by 5."""
    spec = explorer()
    return spec.agent(seed=0).run(spec.environment(seed=0), steps=12)


@pytest.fixture(scope="module")
def maze() -> History:
    """Give a run of three steps in the T-maze."""
    return rat().agent(seed=0).run(TMaze("right", seed=0), steps=10)


@pytest.fixture(scope="module")
def long_names() -> History:
    """Give a run of a hundred steps whose names are as long as they may be."""
    arrays = model(
        A=[noisy(5, 0.9)], A_of=((0,),), B=[np.tile(np.eye(5)[:, :, None], (1, 1, 7))],
        B_of=((0,),), B_by=(0,), C=[point(5, 4, 2.0)], D=[point(5, 0)], controls=(7,),
        factors=("f" * 60,), control_names=("c" * 60,),
        labels={"f" * 60: tuple(f"state_{i}_{'x' * 60}" for i in range(5)),
                "c" * 60: tuple(f"action_{i}_{'y' * 60}" for i in range(7))},
    )  # fmt: skip
    return written(arrays, [[np.roll([0.6, 0.1, 0.1, 0.1, 0.1], n)] for n in range(100)])


def part(figure: Figure, label: str) -> Any:
    """Give the axes of a label."""
    (axes,) = [axes for axes in figure.axes if axes.get_label() == label]
    return axes


def test_a_tile_shows_the_belief_of_its_step(walk: History) -> None:
    """Each of twelve steps has a map whose numbers are the belief, cell by cell (S3-47)."""
    figure = walk.plot()

    assert isinstance(figure, Figure)
    for step in range(12):
        (image,) = part(figure, f"location {step}").get_images()
        assert (np.asarray(image.get_array()) == walk.beliefs()[step].reshape(5, 5)).all()
        assert image.get_clim() == (0, walk.beliefs().max())


def test_no_more_than_twelve_tiles() -> None:
    """Of a long run twelve steps are shown, evenly, the first and the last among them (S3-47)."""
    spec = explorer()
    figure = spec.agent(seed=0, policy_len=1).run(spec.environment(), steps=45).plot()
    shown = [
        int(axes.get_label().split()[1])
        for axes in figure.axes
        if axes.get_label().startswith("location ") and axes.get_visible()
    ]

    assert shown == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44]


def test_where_it_is_and_where_it_wants_to(walk: History) -> None:
    """A dot stands on the true cell of the step, and a star on the one that is wanted (S3-47)."""
    figure = walk.plot()
    for step, (state,) in enumerate(walk.states):
        lines = {line.get_label(): line for line in part(figure, f"location {step}").get_lines()}
        dot, star = lines["true state"], lines["wanted most"]
        assert [*dot.get_xdata(), *dot.get_ydata()] == [state % 5, state // 5]
        assert [*star.get_xdata(), *star.get_ydata()] == [4, 4]


def test_a_factor_without_a_grid_is_drawn_over_time(maze: History) -> None:
    """It gets a row for each state, by its name, and a column for each step (S3-47)."""
    figure = maze.plot()
    for name in ("location", "context"):
        axes = part(figure, name)
        (image,) = axes.get_images()
        assert (np.asarray(image.get_array()) == maze.beliefs(name).T).all()
        assert image.get_clim() == (0, 1)
        (dots,) = axes.get_lines()
        assert list(dots.get_ydata()) == list(maze.true_states(name))
    names = [label.get_text() for label in part(figure, "location").get_yticklabels()]
    assert names == ["centre", "left", "right", "cue"]


def test_curves_show_the_very_numbers(maze: History) -> None:
    """Entropy of each factor, what is expected of each policy, and the actions taken (S3-47)."""
    figure = maze.plot()
    entropies = {line.get_label(): line for line in part(figure, "entropy").get_lines()}
    policies = {line.get_label(): line for line in part(figure, "expected free energy").get_lines()}
    (actions,) = part(figure, "actions move").get_lines()

    for name in ("location", "context"):
        assert (entropies[name].get_ydata() == maze.entropy(name)).all()
    for number, name in enumerate(("centre", "left", "right", "cue")):
        assert (policies[name].get_ydata() == maze.neg_efe[:, number]).all()
    assert (policies["best at the step"].get_ydata() == maze.neg_efe.max(axis=1)).all()
    assert (actions.get_ydata() == maze.actions("move")).all()
    assert part(figure, "entropy").get_ylabel() == "nats"
    assert part(figure, "expected free energy").get_ylabel().startswith("nats")


def test_of_many_policies_the_best_are_named(walk: History) -> None:
    """All of 625 policies are lines; six that were best most often are coloured and named."""
    axes = part(walk.plot(), "expected free energy")
    (faint,) = axes.collections
    named = [line for line in axes.get_lines() if not line.get_label().startswith("best at")]
    best = int(np.bincount(walk.neg_efe.argmax(axis=1)).argmax())

    assert len(faint.get_segments()) == walk.neg_efe.shape[1] == 625
    assert (faint.get_segments()[17][:, 1] == walk.neg_efe[:, 17]).all()
    assert len(named) == 6
    assert (named[0].get_ydata() == walk.neg_efe[:, best]).all()
    assert all(len(line.get_label().split(", ")) == 4 for line in named)


def test_factors_may_be_chosen(maze: History) -> None:
    """`plot("context")` draws that factor alone; one that is not there is refused."""
    labels = {axes.get_label() for axes in maze.plot("context").axes}

    assert "context" in labels
    assert "location" not in labels
    with pytest.raises(GMNError, match="there is no factor 'weather'"):
        maze.plot("weather")


def texts(figure: Figure) -> list[Text]:
    """Give every text that is seen: not those of ticks beyond the end of their axis."""
    unseen: set[Text] = set()
    for axes in figure.axes:
        if not axes.get_visible():
            unseen.update(axes.findobj(Text))
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    unseen.update((tick.label1, tick.label2))
    return [
        text
        for text in figure.findobj(Text)
        if text not in unseen and text.get_visible() and text.get_text().strip()
    ]


@pytest.mark.parametrize("name", ["walk", "maze", "long_names"])
def test_no_text_lies_on_another(name: str, request: pytest.FixtureRequest) -> None:
    """No two texts of a figure overlap, and none is cut off, however long the names are (S3-47)."""
    figure = request.getfixturevalue(name).plot()
    figure.draw_without_rendering()
    page = figure.bbox
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    overlapping = [
        (one, other)
        for number, (one, first) in enumerate(boxes)
        for other, second in boxes[number + 1 :]
        if min(first.x1, second.x1) - max(first.x0, second.x0) > 1
        and min(first.y1, second.y1) - max(first.y0, second.y0) > 1
    ]
    outside = [
        text
        for text, box in boxes
        if min(box.x0 - page.x0, page.x1 - box.x1, box.y0 - page.y0, page.y1 - box.y1) < -1
    ]

    assert len(boxes) > 40
    assert overlapping == []
    assert outside == []


def luminance(colour: Any) -> float:
    """Give the relative luminance of WCAG 2.2, https://www.w3.org/TR/WCAG22 (read 2026-11-21)."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: Any, other: Any) -> float:
    """Give the contrast of two colours: from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_and_lines_are_legible_in_either_theme(maze: History, theme: Any) -> None:
    """Every text has a contrast of 4.5 and every line of 3 to the figure's own background."""
    with rc_context({"text.color": "red", "axes.labelcolor": "red", "xtick.color": "red"}):
        figure = maze.plot(theme=theme)
        figure.draw_without_rendering()
    background = THEMES[theme].background

    assert to_rgb(figure.get_facecolor()) == to_rgb(background)
    for axes in figure.axes:
        if axes.get_label() != "<colorbar>":
            assert to_rgb(axes.get_facecolor()) == to_rgb(background)
    for text in texts(figure):
        assert contrast(text.get_color(), background) >= 4.5, text
    for colour in THEMES[theme].lines:
        assert contrast(colour, background) >= 3, colour
    assert len(set(THEMES[theme].lines)) == 6


def test_an_unknown_theme_is_refused(maze: History) -> None:
    """A theme that is none is named with those that there are."""
    with pytest.raises(GMNError, match="no theme 'auto'; there is `light` and `dark`"):
        maze.plot(theme="auto")  # type: ignore[arg-type]


def test_nothing_to_draw_is_said(maze: History) -> None:
    """A history without a step has no picture."""
    empty = written(maze.model, [])

    with pytest.raises(GMNError, match="no step to draw"):
        empty.plot()
    with pytest.raises(GMNError, match="no step to draw"):
        empty.animate()


def test_an_agent_that_can_do_nothing_is_drawn() -> None:
    """Without a control there are no actions to draw, and one policy."""
    arrays = model(
        A=[noisy(3, 0.8)], A_of=((0,),), B=[np.eye(3)[:, :, None]], B_of=((0,),), B_by=(-1,),
        C=[np.zeros(3)], D=[np.full(3, 1 / 3)], controls=(),
    )  # fmt: skip
    figure = written(arrays, [[[0.2, 0.3, 0.5]], [[0.1, 0.1, 0.8]]], policies=1).plot()

    assert [axes.get_label() for axes in figure.axes][:1] == ["s0"]
    assert not any(axes.get_label().startswith("actions") for axes in figure.axes)


def test_several_controls_and_a_large_grid_are_drawn() -> None:
    """Each control has its actions, and a grid of 12 by 3 keeps its shape."""
    arrays = model(
        A=[noisy(36, 0.9)], A_of=((0,),), B=[grid_transition(12, 3)], B_of=((0,),), B_by=(0,),
        C=[np.zeros(36)], D=[point(36, 0)], controls=(5, 2), factors=("where",),
        shapes={"where": (12, 3)},
    )  # fmt: skip
    history = written(arrays, [[point(36, n)] for n in range(4)])
    figure = history.plot()

    assert part(figure, "where 2").get_images()[0].get_array().shape == (12, 3)
    assert list(part(figure, "actions u1").get_lines()[0].get_ydata()) == [0, 1, 0, 1]
    assert "wanted most" not in [line.get_label() for line in part(figure, "where 2").get_lines()]


def test_without_matplotlib_it_says_what_to_install(
    maze: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where matplotlib is missing, one line says how to get it."""
    figures._figure_class.cache_clear()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(GMNError, match=r"pip install 'llmport-magic\[gmn\]'"):
        maze.plot()
    with pytest.raises(GMNError, match=r"pip install 'llmport-magic\[gmn\]'"):
        maze.animate()


def test_a_notebook_shows_the_figure(maze: History) -> None:
    """IPython asks a value for `_repr_png_`: it gives the whole figure."""
    figure = maze.plot()
    picture = Image.open(BytesIO(figure._repr_png_()))  # type: ignore[attr-defined]

    assert picture.size == tuple(int(side * 100) for side in figure.get_size_inches())


def test_nothing_is_shown_kept_or_configured() -> None:
    """Drawing needs no pyplot, no display and no backend, and prints nothing (S3-47)."""
    code = """
import io, sys
sys.path.insert(0, "tests")
from gmn_runs import rat
from llmport_magic.gmn import TMaze
history = rat().agent(seed=0).run(TMaze("left"), steps=5)
assert "matplotlib" not in sys.modules
import matplotlib
before = dict(matplotlib.rcParams)
history.plot().savefig(io.BytesIO(), format="png")
history.animate("context").to_jshtml()
assert "matplotlib.pyplot" not in sys.modules
assert dict(matplotlib.rcParams) == before
"""
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        cwd=root,
        capture_output=True,
        check=False,
        env={"PATH": "", "MPLBACKEND": "tkagg", "PYTHONPATH": str(root)},
    )

    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b""
    assert done.stderr == b""


def frame(history: History, factor: str, step: int) -> Any:
    """Give the axes of an animation at a step."""
    animation = history.animate(factor)
    animation._draw_was_started = True  # type: ignore[attr-defined]
    animation._func(step)  # type: ignore[attr-defined]
    return animation._fig.axes[0]  # type: ignore[attr-defined]


def test_a_frame_shows_its_step(walk: History, maze: History) -> None:
    """A frame has the belief of its step, the way walked so far, and what was done next."""
    axes = frame(walk, "location", 3)
    way = axes.get_lines()[1]

    assert (np.asarray(axes.get_images()[0].get_array()).ravel() == walk.beliefs()[3]).all()
    assert list(way.get_ydata() * 5 + way.get_xdata()) == list(walk.true_states("location")[:4])
    assert axes.get_title() == walk.moment(3)
    bars = [bar.get_width() for bar in frame(maze, "context", 0).patches]
    assert bars == pytest.approx([0.5, 0.5])
    assert maze.moment(0) == "step 0, then cue"
    assert maze.moment(2) == "step 2"


def test_an_animation_that_is_not_shown_says_nothing(walk: History) -> None:
    """One that is thrown away leaves no warning of matplotlib in the cell after it."""
    animation = walk.animate("location")
    gone = weakref.ref(animation)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del animation
        gc.collect()
    assert gone() is None
    assert not of_ours(told)


def test_a_walk_is_saved_and_played(maze: History, tmp_path: Path) -> None:
    """An animation is written as a GIF with a frame for each step, and plays in a notebook."""
    animation = maze.animate("location", theme="dark")
    animation.save(tmp_path / "walk.gif", writer="pillow")
    played = animation._repr_html_()  # type: ignore[attr-defined]

    assert Image.open(tmp_path / "walk.gif").n_frames == 3  # type: ignore[attr-defined]
    assert played.count("data:image/png;base64") == 3
    assert "<script" in played


def test_a_long_label_is_cut_in_its_middle() -> None:
    """A label that is cut keeps beginning and end, in which names differ."""
    assert shortened("a" * 20 + "b" * 20, 11) == "aaaaa…bbbbb"
    assert len(shortened("x" * 61)) == 24
    assert shortened("left") == "left"
