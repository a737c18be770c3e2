"""The generator of random numbers that a seed stands for."""

from __future__ import annotations

import numpy as np

from llmport_magic.errors import GMNError


def generator(seed: int) -> np.random.Generator:
    """Give numpy's default generator at a seed.

    Args:
        seed: a whole number, 0 or more.

    Raises:
        GMNError: it is something else; numpy would take a few other things, and draw what cannot be
            drawn again from `None`.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise GMNError(f"`seed` is {seed!r}; give a whole number, 0 or more")
    return np.random.default_rng(int(seed))
