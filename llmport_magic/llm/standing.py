"""Who would answer now, with what, and what is missing: one truth for status, lists and panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmport_magic.errors import ConfigError
from llmport_magic.llm.addresses import is_loopback
from llmport_magic.llm.provider_settings import key_of, settings_of
from llmport_magic.llm.retirement import retirement
from llmport_magic.llm.selection import (
    choose_provider,
    connector_class,
    connector_for,
    why_available,
)
from llmport_magic.secrets import redact, redact_address
from llmport_magic.settings import origin

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import Provider
    from llmport_magic.settings import Settings

SERVED = "what the server serves first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Who would answer a prompt that names nobody; it is for the eyes, and holds no secret.

    Attributes:
        provider: its name in the registry; `None` where nobody can answer.
        model: that it would be asked for; empty where the server is asked what it serves.
        why: why this provider; where nobody can answer, what to do.
        model_source: where the name of the model is from.
        missing: what keeps the provider from answering, and what to do; empty where nothing does.
        address: where it is asked, where that is not its own address.
        fallback: who is asked where it fails, in this order.
        notes: what else to know: a model that ends, files that are not allowed to say something.
    """

    provider: str | None
    model: str = ""
    why: str = ""
    model_source: str = ""
    missing: str = ""
    address: str = ""
    fallback: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        """The provider and its model in a few words."""
        return f"{self.provider} {self.model or f'({SERVED})'}"


def standing(settings: Settings, *, looks: bool = True) -> Standing:
    """Say who would answer with these settings, as the connector would be made.

    Args:
        settings: as they resolve.
        looks: whether a server on this machine that is named is asked if it is there.
    """
    from llmport_magic.llm.registry import default_registry

    try:
        name, why = choose_provider(settings)
    except ConfigError as error:
        return Standing(provider=None, why=str(error), notes=_unused(settings))
    row = default_registry().provider(name)
    own = settings_of(row, settings)
    model, source = _model(row, own, settings)
    notes = (retirement(row.name, model), _silent(row, own) if looks else "", *_unused(own))
    return Standing(
        provider=row.name,
        model=redact(model),
        why=why,
        model_source=source,
        missing=_missing(row, own),
        address=_address(row, own),
        fallback=settings.fallback,
        notes=tuple(filter(None, notes)),
    )


def _model(row: Provider, own: Settings, settings: Settings) -> tuple[str, str]:
    if own.model:
        return own.model, own.source("model")
    if hasattr(connector_class(row), "from_settings"):
        return connector_for(settings).model_name_for_api, "catalogue"
    return "", ""


def _missing(row: Provider, own: Settings) -> str:
    from llmport_magic.llm.credentials import missing_key

    key = key_of(row, own)
    return missing_key(row.name, key) if key.secret is None and row.key_required else ""


def _silent(row: Provider, own: Settings) -> str:
    """Tell of a server on this machine that does not answer, and of a model that is not here."""
    if not row.probe and row.name != "embedded":
        return ""
    where = origin(own.base_url)
    if (row.probe and not (where and is_loopback(where[1]))) or why_available(row, own):
        return ""
    what = "no embedded model is here"
    if row.probe:
        what = f"nobody answers at {redact_address(own.base_url or '')}"
    return f"{what}: {row.hint or 'install it with `%llmport model install`'}"


def _address(row: Provider, own: Settings) -> str:
    moved = own.base_url if origin(own.base_url) != origin(row.base_url) else None
    return f"{redact_address(moved)} ({own.source('base_url')})" if moved else ""


def _unused(settings: Settings) -> tuple[str, ...]:
    """Tell of what the project's files say and nobody has allowed."""
    inert = [(name, place) for layer in settings.layers for name, place in layer.inert.items()]
    if not inert:
        return ()
    names = ", ".join(name for name, _ in inert[:4]) + (", …" if len(inert) > 4 else "")
    return (f"not used: {names} ({inert[0][1]}); `%llmport trust` shows and allows it",)
