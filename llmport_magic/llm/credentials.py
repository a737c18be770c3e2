"""The one place where a registry looks for a provider's key, and what it keeps in memory.

Strongest first: an argument; what `initialize_provider` was given; settings that the user made
for this session or in a file that is named; the credential manager; the environment; settings in
files; the key file; the keyring; what the user typed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from llmport_magic.llm.key_sources import (
    can_ask,
    key_in_file,
    key_in_keyring,
    key_of_manager,
    key_typed,
    manager_of,
)
from llmport_magic.locks import lock
from llmport_magic.secrets import Secret, find_key, key_variables, redact, scrub
from llmport_magic.settings import Rank, origin

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import Provider
    from llmport_magic.settings import Settings
    from llmport_magic.settings.origins import Origin

# The ways in which settings give a key.
_KEYS = ("api_key", "api_key_env")


@dataclass(frozen=True, slots=True)
class Key:
    """A provider's key, as far as there is one.

    Attributes:
        secret: the key itself.
        source: where it is from.
        rank: how strong that source is.
        variables: environment variables that may hold it, as an error names them.
        fixed: whether it stands for itself: it is not looked up again.
        withheld: why a key that is there is not used, in words for an error.
        unused: the place of one in a file that nobody has trusted.
    """

    secret: Secret | None = None
    source: str = ""
    rank: Rank = Rank.CATALOGUE
    variables: tuple[str, ...] = ()
    fixed: bool = False
    withheld: str = ""
    unused: str = ""


class Credentials:
    """The keys of one registry: looked up when they are needed, and never written anywhere.

    Args:
        manager: the user's own: a mapping of providers' names to keys, a function from a name to
            a key or `None`, or an object with `get_credential(name)` and, where it wants to be
            told new ones, `add_credential(name, key)`. It is asked from any thread.

    Raises:
        ConfigError: the manager is none of these.
    """

    def __init__(self, manager: Any = None) -> None:
        self._look_up = None if manager is None else manager_of(manager)
        self._tell = getattr(manager, "add_credential", None)
        self._lock = lock()
        # Changed by putting a new mapping in the place of the old one.
        self._given: Mapping[str, Secret] = {}
        self._stored: Mapping[str, Secret] = {}
        self._typed: Mapping[tuple[str, Origin | None], Secret | None] = {}

    def __repr__(self) -> str:
        return f"Credentials({', '.join(self._given)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled: look the keys up again where they are needed")

    def give(self, provider: str, key: Secret) -> None:
        """Keep a key for a provider, and tell the manager where it takes new ones."""
        if callable(self._tell):
            from llmport_magic.llm.transport import hand_over

            # It is the user's own place for keys, and knows no `Secret`.
            try:
                self._tell(provider, hand_over(key))
            except Exception as error:
                scrub(error)
                raise
        with self._lock:
            self._given = {**self._given, provider: key}

    def forget(self, provider: str) -> None:
        """Forget what is kept of a provider's keys; what others hold stays there."""
        with self._lock:
            self._given = {name: key for name, key in self._given.items() if name != provider}
            self._stored = {name: key for name, key in self._stored.items() if name != provider}
            self._typed = {who: key for who, key in self._typed.items() if who[0] != provider}

    def waits(self, settings: Settings) -> bool:
        """Tell whether looking a key up may take time, as a disk or a manager's network does."""
        return self._look_up is not None or bool(settings.api_key_file) or settings.keyring

    def find(self, row: Provider, settings: Settings, *, again: bool = False) -> Key:
        """Find a provider's key, and say where it is from.

        Args:
            row: of the provider.
            settings: its own, as `settings_of` gives them.
            again: whether what the keyring gave before is asked for anew.

        Raises:
            ConfigError: the key file, the keyring or the manager cannot be read.
        """
        for key in self._candidates(row, settings, again=again):
            if key.secret is not None:
                return key
        return Key(rank=Rank.ENVIRONMENT, variables=_shown(row, settings))

    def _candidates(self, row: Provider, settings: Settings, *, again: bool) -> Iterator[Key]:
        told, shown = _told(row, settings), _shown(row, settings)
        rank = settings.ranks.get("api_key", Rank.ARGUMENT)
        fixed = Key(
            secret=settings.api_key if told == "api_key" else None,
            source=settings.source("api_key"),
            rank=rank,
            fixed=True,
        )
        if rank >= Rank.ARGUMENT:
            yield fixed
        yield Key(self._given.get(row.name), "initialize_provider()", Rank.CONFIGURED)
        if rank > Rank.ENVIRONMENT:
            yield fixed
        if self._look_up is not None:
            secret = key_of_manager(self._look_up, row.name)
            yield Key(secret, "the credential manager", Rank.ENVIRONMENT)
        named = told == "api_key_env"
        env = settings.ranks.get("api_key_env", Rank.ARGUMENT) if named else Rank.ENVIRONMENT
        for name in variables_of(row, settings):
            yield Key(find_key((name,)), name, env, shown)
        if rank < Rank.ENVIRONMENT:
            yield fixed
        if settings.api_key_file:
            rank = settings.ranks.get("api_key_file", Rank.ARGUMENT)
            yield Key(key_in_file(settings.api_key_file), settings.api_key_file, rank)
        if settings.keyring:
            rank = settings.ranks.get("keyring", Rank.ARGUMENT)
            yield Key(self._in_keyring(row.name, again=again), "the keyring", rank)
        yield Key(self._typed.get(_whom(row, settings)), "what you typed", Rank.ARGUMENT)

    def _in_keyring(self, provider: str, *, again: bool) -> Secret | None:
        if again or provider not in self._stored:
            found = key_in_keyring(provider)
            if found is None:
                return None
            with self._lock:
                self._stored = {**self._stored, provider: found}
            return found
        return self._stored.get(provider)

    def ask(self, row: Provider, settings: Settings) -> bool:
        """Ask the user for a key, where the settings and the place allow it; tell if there is one.

        Only on the main thread: there an interrupt ends the question, and no other input is read
        meanwhile. Each provider's key is asked for once in a session.

        Args:
            row: of the provider.
            settings: its own, as `settings_of` gives them.
        """
        whom = _whom(row, settings)
        on_main = threading.current_thread() is threading.main_thread()
        if not settings.ask_for_key or not on_main or whom in self._typed or not can_ask():
            return False
        where = settings.base_url or row.base_url
        key = key_typed(f"Key for `{row.name}`{f' at {redact(where)}' if where else ''}: ")
        with self._lock:
            self._typed = {**self._typed, whom: key}
        return key is not None


def _told(row: Provider, settings: Settings) -> str | None:
    """Name the setting that says the key: the strongest, and the key itself before a variable."""
    told = max(
        (name for name in _KEYS if getattr(settings, name)),
        key=lambda name: settings.ranks.get(name, Rank.ARGUMENT),
        default=None,
    )
    # Variables that somebody names stand in the place of the provider's own.
    own = settings.source("api_key") in row.api_key_vars
    return "api_key_env" if own and settings.api_key_env else told


def _shown(row: Provider, settings: Settings) -> tuple[str, ...]:
    """Name the variables that people use: for an error."""
    return settings.api_key_env if _told(row, settings) == "api_key_env" else row.api_key_vars


def variables_of(row: Provider, settings: Settings) -> tuple[str, ...]:
    """Name the environment variables that may hold the key, the first that is set wins."""
    if _told(row, settings) == "api_key_env":
        return settings.api_key_env
    names = key_variables(row.name, row.api_key_vars)
    if settings.api_key and settings.ranks.get("api_key") == Rank.ENVIRONMENT:
        # One for whoever answers; it may be set to another value by now, or not at all.
        return tuple(dict.fromkeys((*names, settings.source("api_key"))))
    return names


def _whom(row: Provider, settings: Settings) -> tuple[str, Origin | None]:
    return row.name, origin(settings.base_url or row.base_url)


def missing_key(provider: str, key: Key, *, own: bool = False) -> str:
    """Say which key is missing and where to put it, or why one that is there is not used.

    Args:
        provider: its name.
        key: what was found in its place.
        own: whether the user has a registry at hand to give the key to.
    """
    if key.withheld:
        return (
            f"no key for `{provider}`: {key.withheld}; give `api_key` or `api_key_env` together "
            "with `base_url` if it may go there"
        )
    named = " or ".join(f"`{name}`" for name in key.variables) or "`api_key`"
    if key.unused:
        return (
            f"no key for `{provider}`: that in {key.unused} is not used until `%llmport trust` "
            f"allows that file; or set {named} in the environment"
        )
    way = f'call `initialize_provider("{provider}", api_key)`' if own else "choose another provider"
    return f"no key for `{provider}`: set {named} in the environment, or {way}"
