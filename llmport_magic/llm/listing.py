"""Every provider as lists show it: whether it could be asked now, and what to do where not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmport_magic.errors import ConfigError
from llmport_magic.llm.provider_settings import refusal_of, settings_of
from llmport_magic.llm.retirement import has_ended
from llmport_magic.llm.selection import why_available
from llmport_magic.llm.served import served
from llmport_magic.secrets import redact, redact_address
from llmport_magic.settings import resolve

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import Provider
    from llmport_magic.llm.registry import LLMRegistry
    from llmport_magic.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    """A provider as lists show it.

    Attributes:
        name: the key in the registry.
        models: the names of the models that are known; where the catalogue has none, what the
            server listed when it was last asked.
        ended: those of them that are served no longer.
        model: that is asked where nobody names one; empty asks the server what it serves.
        available: whether it could be asked now.
        hint: what to do to use it, or where it stands.
    """

    name: str
    models: tuple[str, ...]
    ended: frozenset[str]
    model: str
    available: bool
    hint: str

    @property
    def offered(self) -> list[str]:
        """The names to choose from: of those models that are served still."""
        return [name for name in self.models if name not in self.ended]


def provider_rows() -> tuple[ProviderRow, ...]:
    """List every provider, whether it can be asked now, and what to do where it cannot."""
    from llmport_magic.llm.registry import default_registry

    settings, registry = resolve(), default_registry()
    return tuple(_listed(row, settings, registry) for row in registry.providers())


def _listed(row: Provider, settings: Settings, registry: LLMRegistry) -> ProviderRow:
    refusal, why = refusal_of(row, settings), None
    try:
        why = None if refusal else why_available(row, settings, registry)
    except ConfigError as error:
        # For example a key file that is gone: it stands where the user looks for it.
        refusal = str(error)
    if (
        why is None
        and refusal is None
        and not row.key_required
        and not row.probe
        and row.name != "embedded"
    ):
        why = "needs no key"
    if refusal is not None:
        hint = refusal
    elif why is not None:
        hint = why
    elif row.probe:
        where = redact_address(settings_of(row, settings).base_url or "")
        hint = f"{row.hint or 'start a server'} at {where}, or set `base_url`"
    elif row.api_key_vars:
        hint = f"set {' or '.join(row.api_key_vars)}"
    else:
        hint = row.hint or "install it with `%llmport model install`"
    own = settings_of(row, settings)
    return ProviderRow(
        name=row.name,
        models=tuple(row.models) or served(row.name, own.base_url),
        ended=frozenset(name for name, profile in row.models.items() if has_ended(profile)),
        model=redact(own.model or ""),
        available=why is not None,
        hint=hint,
    )
