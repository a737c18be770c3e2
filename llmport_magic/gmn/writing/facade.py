"""The methods that this layer gives to every connector, and to the factory that asks several."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmport_magic import bridge
from llmport_magic.errors import UsageError
from llmport_magic.gmn.validation import validate
from llmport_magic.gmn.writing import generation
from llmport_magic.gmn.writing.mending import MENDED
from llmport_magic.gmn.writing.prompting import Wish, checked_constraints

if TYPE_CHECKING:
    from llmport_magic.gmn.spec import Spec
    from llmport_magic.llm.connector import BaseLLMConnector


async def generate_gmn(
    connector: BaseLLMConnector,
    prompt: str,
    agent_type: str = "general",
    *,
    constraints: Mapping[str, int] | None = None,
    examples: Sequence[Any] | None = None,
    provider_type: Any = None,
    image: Any = None,
    on_text: Callable[[str], object] | None = None,
    **options: Any,
) -> str:
    """Have a specification written; see `llmport_magic.llm.methods`."""
    wish = Wish.of(
        prompt,
        agent_type,
        constraints=constraints,
        examples=examples,
        images=generation.pictures(image),
    )
    options |= _only(connector, provider_type)
    return _told(await generation.drafted(connector, wish, on_text=on_text, **options))


async def refine_gmn(
    connector: BaseLLMConnector,
    gmn_spec: Any,
    feedback: str,
    *,
    constraints: Mapping[str, int] | None = None,
    provider_type: Any = None,
    on_text: Callable[[str], object] | None = None,
    **options: Any,
) -> str:
    """Have a specification changed; see `llmport_magic.llm.methods`."""
    wish = generation.refinement(gmn_spec, feedback, constraints=constraints)
    options |= _only(connector, provider_type)
    return _told(await generation.drafted(connector, wish, on_text=on_text, **options))


async def validate_gmn(
    connector: BaseLLMConnector, gmn: Any, *, llm: bool = False, **limits: Any
) -> tuple[bool, list[str]]:
    """Check a specification; see `llmport_magic.llm.methods`."""
    limits = dict(checked_constraints(limits))
    report = await bridge.in_thread(lambda: validate(gmn, **limits))
    errors = list(report.errors)
    if llm and report.spec is not None:
        said = await generation.reviewed(connector, report.spec)
        errors += [f"warning: {line}" for line in said]
    return report.ok, errors


def _told(spec: Spec) -> str:
    """Give the text, which has no place for what was mended: a warning says it."""
    for note in spec.notes:
        if note.startswith(MENDED):
            warnings.warn(note, UserWarning, stacklevel=2)
    return spec.to_text()


def _only(connector: BaseLLMConnector, provider_type: Any) -> dict[str, Any]:
    """Give the option that names the one provider who may be asked."""
    from llmport_magic.llm.routing.router import LLMProviderFactory

    if provider_type is None or str(provider_type).strip().lower() == "auto":
        return {}
    if isinstance(connector, LLMProviderFactory):
        return {"provider_type": provider_type}
    if str(provider_type).strip().lower() != connector.provider_name.lower():
        raise UsageError(
            f"this is `{connector.provider_name}`, which cannot ask `{provider_type}`: take the "
            "connector of that one, or a factory"
        )
    return {}
