"""Making a stored version live in this process, on the thread that owns the namespace."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import GeneratedCodeError
from llmport_magic.log.events import Event, Kind
from llmport_magic.modules.sorts import SPECIFICATION
from llmport_magic.session import Session
from llmport_magic.settings import Settings

if TYPE_CHECKING:
    from llmport_magic.modules.loader import LoadReport
    from llmport_magic.modules.version import Version


def needs_consent(version: Version, settings: Settings) -> bool:
    """Tell whether only the user may make this version live, by running its cell."""
    # Only a consent that this user signed counts: a record may claim any origin. A specification
    # is read and never run as code, so that there is nothing to consent to.
    if version.consented or version.sort is SPECIFICATION:
        return False
    if settings.trust == "never":
        return True
    asks = (version.verdict or {}).get("safety") == "ask"
    return asks and settings.trust != "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A version is live in this process; `report` is `None` where it already was."""

    version: Version
    report: LoadReport | None


def register(
    version: Version,
    settings: Settings,
    session: Session,
    *,
    run: str,
    namespaces: Sequence[MutableMapping[str, Any]] = (),
    cell_id: str | None = None,
    told: Callable[[str, Any], None] | None = None,
) -> Registered:
    """Make a stored version live: the file is written, `import NAME` gives it everywhere.

    Runs on the calling thread, as the module's top level may.

    Args:
        version: what to register.
        settings: the settings of the call.
        session: this process's memory.
        run: the log's id of the run.
        namespaces: where names that are identical with the module's old ones are rebound.
        cell_id: the module cell that stands for this version.
        told: called with the name and the module, for IPython's autoreload.

    Raises:
        VerificationError: the module does not execute here; the previous version stays.
        MissingPackageError: it needs a package that was there when it was checked.
    """
    from llmport_magic.modules import loader

    store = session.store(settings)
    live = loader.registered_source(version.name)
    if live == version.source and store.current_text(version.name) == version.source:
        session.select(settings, version, cell_id)
        return Registered(version=version, report=None)
    try:
        report = loader.register(
            version.name,
            version.source,
            store.path(version.name),
            namespaces=namespaces,
            commit=lambda: store.write_current(version),
        )
    except GeneratedCodeError as error:
        text = f"`{version.name}` v{version.number}: {error}"
        event = Event(kind=Kind.IMPORT_ERROR, run=run, module=version.name, text=text)
        session.record_now(settings, event)
        _raise_for_missing_package(version, error)
        raise
    session.select(settings, version, cell_id)
    if told:
        told(version.name, report.module)
    return Registered(version=version, report=report)


def _raise_for_missing_package(version: Version, error: GeneratedCodeError) -> None:
    """Say what to install where that is what the module failed for."""
    from llmport_magic.modules.packages import (
        full_name,
        is_installed,
        lacking,
        shares_a_namespace,
    )

    cause = error.__cause__
    if not isinstance(cause, ModuleNotFoundError) or not cause.name or cause.name == version.name:
        return
    name = full_name(cause.name, version.source)
    if is_installed(name) and not shares_a_namespace(name):
        return
    raise lacking(f"`{version.name}` v{version.number} is not registered", version.name, [name])
