"""What machine the numbers were taken on, and how they are written down."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path


def machine() -> str:
    """Describe the machine and its load in one line."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, Python "
        f"{platform.python_version()}, load {load:.1f}"
    )


def commit() -> str:
    """Give the short name of the commit that is measured."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    here = Path(__file__).resolve().parent
    return subprocess.run(
        command, cwd=here, capture_output=True, text=True, check=True
    ).stdout.strip()


def summary(values: Sequence[float], unit: str) -> str:
    """Give the median, and the range in which the middle half lies."""
    quarters = statistics.quantiles(values, n=4)
    middle = f"{quarters[0]:.1f} to {quarters[2]:.1f}"
    return f"{statistics.median(values):.1f} {unit} ({middle}, n = {len(values)})"
