"""Axes by what they stand for, and the array that a text gives over them."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmport_magic.gmn.arrays.constructors import Axis, expand
from llmport_magic.gmn.arrays.constructors.axes import Place
from llmport_magic.gmn.notation.text import read_value


def state(name: str, size: int, *labels: str, shape: tuple[int, ...] = ()) -> Axis:
    """Make the axis of a factor."""
    return Axis(name, size, labels, shape)


def seen(name: str, size: int, *labels: str, shape: tuple[int, ...] = ()) -> Axis:
    """Make the axis of a modality."""
    return Axis(name, size, labels, shape, "observation")


def actions(name: str, size: int, *labels: str) -> Axis:
    """Make the axis of a control."""
    return Axis(name, size, labels, what="action")


def moved(text: str, factor: Axis, *others: Axis) -> np.ndarray[Any, Any]:
    """Expand a transition of a factor."""
    return expand(read_value(text), (factor, factor, *others), "transition")


def emitted(text: str, to: Axis, *of: Axis) -> np.ndarray[Any, Any]:
    """Expand an emission."""
    return expand(read_value(text), (to, *of), "emission")


def vector(text: str, axis: Axis, place: Place = "preference") -> list[float]:
    """Expand a vector."""
    return expand(read_value(text), (axis,), place).tolist()


def lands(array: np.ndarray[Any, Any]) -> list[Any]:
    """Give where each column of a certain matrix leads."""
    assert set(np.unique(array)) <= {0.0, 1.0}
    return array.argmax(axis=0).tolist()
