"""Places that may hold a key: a file, the keyring, somebody's own manager, the user.

Each gives a `Secret` or nothing; what is in the way is said without it.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.llm.failures import shown
from llmport_magic.secrets import Secret, scrub

SERVICE = "llmport_magic"
_LONGEST_FILE = 65_536
# Printable and without a space; a line out of an `.env` file would be sent as it stands.
_KEY = re.compile(r"(?![A-Za-z_]\w*=.)[!-~]+\Z")
# How keys of one vendor begin, as scanners for leaked keys know them:
# https://docs.rs/string-analyze/0.1.1/src/string_analyze/rules/core/apikey_ai.rs.html
# (read 2026-11-21). Keys of a proxy may look like anything.
_BEGINNINGS = {
    "anthropic": re.compile("sk-ant-"),
    "openrouter": re.compile("sk-or-"),
    "openai": re.compile("sk-proj-"),
    "groq": re.compile("gsk_"),
    "gemini": re.compile("AIza"),
}
_VENDORS = frozenset({*_BEGINNINGS, "deepseek"})


def checked_key(key: Any, provider: str) -> Secret:
    """Take a key as the user gives it.

    Raises:
        ConfigError: it is empty, or no text; the message does not show it.
    """
    if not isinstance(key, (str, Secret)):
        raise ConfigError(f"the key for `{provider}` is a text, not `{type(key).__name__}`")
    if isinstance(key, str) and not key.strip():
        raise ConfigError(f"the key for `{provider}` is empty: leave it out to have it looked up")
    return Secret(key)


def looks_foreign(key: Secret, provider: str) -> str:
    """Say whose key it looks like, where that is another vendor than the one it is given for.

    Never more than a hint: vendors change how their keys look.
    """
    owner = next((name for name, form in _BEGINNINGS.items() if key.matches(form)), provider)
    return owner if provider in _VENDORS and owner != provider else ""


def key_in_file(path: str) -> Secret:
    """Read the first line of a file that is not empty.

    Args:
        path: `~` is the user's home. A file of the user's own must be closed to everybody else,
            as for `ssh`; one of somebody else, such as a secret that a container is given, is
            taken as it is.

    Raises:
        ConfigError: it is missing, cannot be read, is open to others, or holds no key.
    """
    lines = _lines(Path(path).expanduser(), path)
    if not lines:
        raise ConfigError(f"the key file `{path}` is empty: write the key into its first line")
    if not lines[0].matches(_KEY):
        raise ConfigError(
            f"the first line of the key file `{path}` is no key: it must hold the key alone"
        )
    return lines[0]


def _lines(path: Path, named: str) -> list[Secret]:
    """Read a file's lines as secrets, so that no traceback has them."""
    try:
        # A pipe would not be waited for.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(path, flags)
        try:
            _check_file(os.fstat(descriptor), named)
            content = os.read(descriptor, _LONGEST_FILE).decode("utf-8-sig", "replace")
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no key file `{named}`: write it, or change `api_key_file`"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read the key file `{named}`: {error.strerror}") from None
    return [Secret(line) for line in content.splitlines() if line.strip()]


def _check_file(found: os.stat_result, named: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"the key file `{named}` is no plain file: write the key into one")
    if os.name == "posix" and found.st_uid == os.getuid() and found.st_mode & 0o077:
        raise ConfigError(
            f"the key file `{named}` is open to other users of this machine: run "
            f"`chmod 600 {named}`"
        )


def key_in_keyring(provider: str) -> Secret | None:
    """Look into the system's keyring, under the service `llmport_magic`, for the provider's name.

    Raises:
        ConfigError: the package is not installed, or the keyring cannot be opened.
    """
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise ConfigError(
            "`keyring` is set, but the package is not installed: run "
            "`pip install 'llmport-magic[keyring]'`"
        ) from None
    try:
        found = keyring.get_password(SERVICE, provider)
    except KeyringError as error:
        scrub(error)
        line = " ".join(str(error).split())
        raise ConfigError(
            f"the keyring cannot be read ({type(error).__name__}: {line}): unlock it, or turn the "
            "setting `keyring` off"
        ) from None
    return Secret(found) if found and found.strip() else None


def can_ask() -> bool:
    """Tell whether there is somebody to ask: a terminal, or a front end that answers.

    A kernel puts its own `getpass` in the place of Python's while a cell runs.
    """
    import getpass

    if getpass.getpass.__module__ != "getpass":
        return True
    return bool(sys.stdin and sys.stdin.isatty())


def key_typed(question: str) -> Secret | None:
    """Ask the user with a hidden prompt; `None` where nobody can answer, or nothing was typed."""
    import getpass

    try:
        typed = getpass.getpass(question)
    except (EOFError, NotImplementedError):
        # A front end without a keyboard, for example of a notebook that runs by itself.
        return None
    return Secret(typed) if typed.strip() else None


def manager_of(given: Any) -> Callable[[str], Any]:
    """Give the function that looks a name up in a user's credential manager.

    Args:
        given: a mapping, a function from a name to a key or `None`, or an object with
            `get_credential(name)`.

    Raises:
        ConfigError: it is none of these.
    """
    found = getattr(given, "get_credential", None)
    if callable(found):
        return found  # type: ignore[no-any-return] # whatever it gives is checked
    if isinstance(given, Mapping):
        return given.get
    if callable(given):
        return given  # type: ignore[no-any-return] # the same
    raise ConfigError(
        "a credential manager is a mapping, a function from a provider's name to its key, or an "
        f"object with `get_credential`, not `{type(given).__name__}`"
    )


def key_of_manager(look_up: Callable[[str], Any], provider: str) -> Secret | None:
    """Ask a user's credential manager.

    Raises:
        ConfigError: it failed, or gave something that is no key.
    """
    try:
        found = look_up(provider)
    except LookupError:
        return None
    except Exception as error:
        scrub(error)
        said = shown(str(error)) or "it says no more"
        raise ConfigError(
            f"the credential manager failed for `{provider}` ({type(error).__name__}): {said}: "
            "mend it, or give the key another way"
        ) from error
    if found is None or (isinstance(found, str) and not found.strip()):
        return None
    if not isinstance(found, (str, Secret)):
        if hasattr(found, "close"):
            found.close()
        raise ConfigError(
            f"the credential manager gave `{type(found).__name__}` for `{provider}`: it must give "
            "a text or None"
        )
    return Secret(found)
