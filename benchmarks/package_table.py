"""What the table of packages costs: nothing when the extension loads, little when first asked.

    python benchmarks/package_table.py

Prints minimum and median of fresh processes, in milliseconds: reading the table, then the first
near name, which compares with every well-known one; and the same for the second look-up.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

RUNS = 15
_CODE = """
import json, time
from llmport_magic.modules import packages

def took(work, *given):
    begun = time.perf_counter()
    work(*given)
    return 1e3 * (time.perf_counter() - begun)

print(json.dumps({
    "read when imported": packages._table.cache_info().currsize,
    "first look-up": took(packages.distribution_for, "cv2"),
    "second look-up": took(packages.distribution_for, "sklearn.linear_model"),
    "near name": took(packages.nearest_known, "reqeusts"),
    "all well-known names": took(packages.well_known_names),
}))
"""


def main() -> None:
    """Run and print."""
    rows = [
        json.loads(
            subprocess.run([sys.executable, "-c", _CODE], capture_output=True, check=True).stdout
        )
        for _ in range(RUNS)
    ]
    for what in rows[0]:
        figures = [row[what] for row in rows]
        print(f"{what:<24} {min(figures):8.3f} {statistics.median(figures):8.3f}")


if __name__ == "__main__":
    main()
