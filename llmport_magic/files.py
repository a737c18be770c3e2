"""Files that a crash, a full disk or a planted link cannot turn against the user.

A `Folder` is entered component by component from a root, never through a symbolic link, and a
file in it changes by writing a temporary one, syncing it and putting it in its place. Where the
system has no `dir_fd` (Windows), the same steps go by path and each component is checked.
"""

# `pathlib` has no `dir_fd`:
# ruff: noqa: PTH100, PTH102, PTH105, PTH116, PTH208
from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from llmport_magic.errors import StoreError

HOME = ".llmport"
IGNORED = "# what belongs to one user and one machine\njournal/\ncache/\n"

_BY_FD = os.open in os.supports_dir_fd and os.link in os.supports_dir_fd
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_NO_LINKS_HERE = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_LINK = {errno.ELOOP, errno.EMLINK, errno.ENOTDIR}
_REPLACE_WAITS = (0.0, 0.02, 0.05, 0.1, 0.2)
_MINUTE = 60.0
_HOUR = 3600.0


def state_dir() -> Path:
    """Return the user's own folder for what must not travel with a project."""
    import platformdirs

    return Path(platformdirs.user_state_dir("llmport_magic", appauthor=False))


def real_root(directory: str | os.PathLike[str]) -> Path:
    """Return the directory's real path.

    Raises:
        StoreError: the directory is, or lies behind, a link that leads out of its place.
    """
    given = Path(os.path.abspath(directory))  # a link must not be resolved yet
    real = Path(os.path.realpath(given))
    here = Path.cwd()
    if given != here and given.is_relative_to(here):
        inside = real.is_relative_to(os.path.realpath(here))
    else:
        inside = not given.is_symlink() or real.is_relative_to(os.path.realpath(given.parent))
    if not inside:
        raise StoreError(
            f"`{given}` is a link to `{real}`, outside its folder; nothing was written. "
            f"Set `module_dir` to `{real}` itself if you mean it."
        )
    return real


class Folder:
    """A directory below a root, entered anew for each operation and never through a link.

    Args:
        root: an existing directory that the user named.
        parts: the components below it; they are made where they are missing.
    """

    def __init__(self, root: Path, *parts: str) -> None:
        self.root = root
        self.parts = parts
        self.path = root.joinpath(*parts)

    def read(self, name: str, *, limit: int = 64 << 20) -> bytes:
        """Return a regular file's bytes.

        Raises:
            FileNotFoundError: there is no such file.
            StoreError: it is a link, no regular file, or larger than `limit`.
        """
        descriptor = self.open(name, os.O_RDONLY | _NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise StoreError(f"`{self.path / name}` is larger than {limit} bytes; not read.")
        return data

    def open(self, name: str, flags: int, mode: int = 0o600, *, create: bool = False) -> int:
        """Open a regular file of the folder and return its descriptor.

        Args:
            name: the file's name in the folder.
            flags: `os.O_…` flags; following links is switched off.
            mode: for a new file.
            create: make the folder, and the file, where they are missing.

        Raises:
            StoreError: the name is a link, a directory, a pipe or a device.
        """
        flags |= _NOFOLLOW | _CLOEXEC | _BINARY | (os.O_CREAT if create else 0)
        with self._entered(create=create) as place:
            where, at = self._at(place, name)
            self._refuse_link(where, at, name)
            try:
                descriptor = os.open(where, flags | _NONBLOCK, mode, **at)
            except OSError as error:
                if error.errno in {errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR}:
                    raise self._not_a_file(name) from None
                raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise self._not_a_file(name)
        return descriptor

    def names(self) -> list[str]:
        """Return the names in the folder, sorted; none where there is no folder."""
        try:
            with self._entered(create=False) as place:
                return sorted(os.listdir(self.path if place is None else place))
        except FileNotFoundError:
            return []

    def stat(self, name: str) -> os.stat_result | None:
        """Return what `lstat` says about a name, or None."""
        try:
            with self._entered(create=False) as place:
                where, at = self._at(place, name)
                return os.stat(where, follow_symlinks=False, **at)
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """Delete a file; one that is gone already is fine."""
        with suppress(FileNotFoundError), self._entered(create=False) as place:
            where, at = self._at(place, name)
            os.unlink(where, **at)

    def write(
        self,
        name: str,
        data: bytes | bytearray,
        *,
        mode: int = 0o600,
        after: float | None = None,
        last_look: Callable[[], object] | None = None,
    ) -> None:
        """Put a whole file in its place, atomically and durably.

        Args:
            name: the file's name in the folder.
            data: all of it.
            mode: for a new file; an existing one keeps its own.
            after: the file's time is moved to at least one second later than this.
            last_look: called when all is on disk but in its place; what it raises stops that.

        Raises:
            StoreError: the name is a link or no regular file, or the folder was replaced.
            OSError: the system refused; the old file is unharmed.
        """
        with self._entered(create=True) as place:
            where, at = self._at(place, name)
            old = self._refuse_link(where, at, name)
            temporary = self._write_temporary(place, data, mode, old, after)
            source, _ = self._at(place, temporary)
            try:
                if last_look is not None:
                    last_look()
                _replace(source, where, place)
            except BaseException:
                self._discard(source, at)
                raise
            self._sync(place)
            entered = self._identity(place)
        # Not the file: another process may have put its own there since.
        if not self._is_still(entered):
            raise StoreError(
                f"`{self.path}` was replaced while `{name}` was written; look at the folder, "
                "then run the cell again."
            )

    def _identity(self, place: int | None) -> os.stat_result:
        return os.stat(self.path if place is None else place)

    def _is_still(self, entered: os.stat_result) -> bool:
        try:
            with self._entered(create=False) as place:
                return os.path.samestat(self._identity(place), entered)
        except (FileNotFoundError, StoreError):
            return False

    def create(self, name: str, data: bytes, *, mode: int = 0o600) -> bool:
        """Write a whole file under a new name; False when the name is taken."""
        with self._entered(create=True) as place:
            where, at = self._at(place, name)
            temporary = self._write_temporary(place, data, mode, None, None)
            source, _ = self._at(place, temporary)
            both: dict[str, Any] = {}
            if place is not None:
                both = {"src_dir_fd": place, "dst_dir_fd": place, "follow_symlinks": False}
            try:
                os.link(source, where, **both)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS_HERE:
                    raise
                return self._create_plainly(place, name, data, mode)
            finally:
                self._discard(source, at)
            self._sync(place)
            return True

    def sync(self) -> None:
        """Make the folder's own entries durable."""
        with self._entered(create=False) as place:
            self._sync(place)

    def sweep(self) -> None:
        """Delete temporary files that a killed process left behind."""
        for name in self.names():
            if not (name.startswith(".llmport-") and name.endswith(".tmp")):
                continue
            found = self.stat(name)
            age = 0.0 if found is None else time.time() - found.st_mtime
            process = name.split("-")[1]
            dead = process.isdecimal() and not _alive(int(process))
            if age > _HOUR or (age > _MINUTE and dead):
                self.remove(name)

    def _create_plainly(self, place: int | None, name: str, data: bytes, mode: int) -> bool:
        # A file system without hard links: a crash here leaves a record that readers skip.
        where, at = self._at(place, name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC | _BINARY
        try:
            descriptor = os.open(where, flags, mode, **at)
        except FileExistsError:
            return False
        _fill(descriptor, data)
        self._sync(place)
        return True

    def _write_temporary(
        self,
        place: int | None,
        data: bytes | bytearray,
        mode: int,
        old: os.stat_result | None,
        after: float | None,
    ) -> str:
        temporary = f".llmport-{os.getpid()}-{os.urandom(6).hex()}.tmp"
        where, at = self._at(place, temporary)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC | _BINARY
        descriptor = os.open(where, flags, mode, **at)
        try:
            if old is not None and hasattr(os, "fchmod"):
                os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
            _fill(descriptor, data)
            if after is not None and int(os.stat(where, **at).st_mtime) <= int(after):
                later = (int(after) + 1) * 10**9
                os.utime(where, ns=(later, later), **at)
        except BaseException:
            self._discard(where, at)
            raise
        return temporary

    @contextmanager
    def _entered(self, *, create: bool) -> Iterator[int | None]:
        if not _BY_FD:
            self._enter_by_path(create=create)
            yield None
            return
        place = self._step(str(self.root), None, create=False)
        try:
            for part in self.parts:
                inner = self._step(part, place, create=create)
                os.close(place)
                place = inner
            yield place
        finally:
            os.close(place)

    def _step(self, part: str, place: int | None, *, create: bool) -> int:
        flags = os.O_RDONLY | _DIRECTORY | _NOFOLLOW | _CLOEXEC
        at: dict[str, Any] = {} if place is None else {"dir_fd": place}
        try:
            return os.open(part, flags, **at)
        except FileNotFoundError:
            if not create or place is None:
                raise
        except OSError as error:
            if error.errno in _LINK:
                raise self._not_a_folder(part) from None
            raise
        with suppress(FileExistsError):
            os.mkdir(part, 0o700, **at)
            os.fsync(place)
        return self._step(part, place, create=False)

    def _enter_by_path(self, *, create: bool) -> None:
        path = self.root
        for part in self.parts:
            path = path / part
            if path.is_symlink() or (path.exists() and not path.is_dir()):
                raise self._not_a_folder(part)
            if create:
                path.mkdir(mode=0o700, exist_ok=True)

    def _at(self, place: int | None, name: str) -> tuple[str, dict[str, Any]]:
        if place is None:
            return str(self.path / name), {}
        return name, {"dir_fd": place}

    def _refuse_link(self, where: str, at: dict[str, Any], name: str) -> os.stat_result | None:
        try:
            found = os.stat(where, follow_symlinks=False, **at)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise self._not_a_file(name)
        return found

    def _discard(self, where: str, at: dict[str, Any]) -> None:
        with suppress(OSError):
            os.unlink(where, **at)

    def _sync(self, place: int | None) -> None:
        if place is not None:
            with suppress(OSError):  # some file systems cannot sync a directory
                os.fsync(place)

    def _not_a_file(self, name: str) -> StoreError:
        return StoreError(
            f"`{self.path / name}` is a link, a directory, a pipe or a device, not a file of "
            "ours; nothing was written. Move it away."
        )

    def _not_a_folder(self, part: str) -> StoreError:
        return StoreError(
            f"`{part}` in `{self.path}` is a link or a file where a folder of ours belongs; "
            "nothing was written. Move it away."
        )


def home_folder(root: Path, *parts: str) -> Folder:
    """Return a folder below `.llmport`, which is made with its `.gitignore`."""
    home = Folder(root, HOME)
    if home.stat(".gitignore") is None:
        home.create(".gitignore", IGNORED.encode(), mode=0o644)
    return Folder(root, HOME, *parts)


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Write every byte or raise."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _fill(descriptor: int, data: bytes | bytearray) -> None:
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(source: str, target: str, place: int | None) -> None:
    at: dict[str, Any] = {} if place is None else {"src_dir_fd": place, "dst_dir_fd": place}
    for wait in _REPLACE_WAITS:
        time.sleep(wait)
        try:
            os.replace(source, target, **at)
        except PermissionError as error:  # on Windows: somebody has the file open
            refused = error
        else:
            return
    raise refused


def _alive(process: int) -> bool:
    if os.name == "nt":  # signal 0 is Ctrl-C there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
