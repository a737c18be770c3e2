"""What layers above the connectors give to every connector, loaded when it is first called.

This layer knows none of them: the package itself says where they are, as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import ProviderType
    from llmport_magic.llm.messages import Message


def answers_to(messages: Sequence[Message]) -> Iterator[str]:
    """Give what the layers above have the mock answer; nothing is loaded for other requests."""
    first = messages[0].content if messages else ""
    for word, place in _table("MOCK_ANSWERS").items():
        if word in first:
            yield import_module(place).answer(messages)


class Methods:
    """The methods that layers above give; what they do is said there."""

    async def generate_gmn(
        self,
        prompt: str,
        agent_type: str = "general",
        constraints: Mapping[str, int] | None = None,
        examples: Sequence[Any] | None = None,
        provider_type: ProviderType | str | None = None,
        *,
        image: Any = None,
        on_text: Callable[[str], object] | None = None,
        **options: Any,
    ) -> str:
        """Have a specification of an agent written, and checked: see `gmn/writing/facade.py`.

        Args:
            prompt: what the agent is to be, in a sentence.
            agent_type: `general`, `explorer`, `trader`, `coordinator`, `analyst` or `creative`.
            constraints: `max_states`, `max_actions`, `max_observations`, `max_factors`, `horizon`.
            examples: at most three specifications that show what is wanted.
            provider_type: the one provider that may be asked, where a factory asks several.
            image: a picture of a diagram: a path, bytes, or an image of Pillow.
            on_text: called with each piece of an answer as it arrives.
            **options: `tries`, and the options of a call, for example `model` or `temperature`.

        Returns:
            The text of a valid specification.

        Raises:
            GMNOutputError: no answer was a valid specification; it has the findings.
            ValueError: an unknown agent type or constraint, or no prompt.
            LLMError: the model did not deliver.
        """
        return str(
            await _method("generate_gmn")(
                self,
                prompt,
                agent_type,
                constraints=constraints,
                examples=examples,
                provider_type=provider_type,
                image=image,
                on_text=on_text,
                **options,
            )
        )

    async def refine_gmn(
        self,
        gmn_spec: Any,
        feedback: str,
        *,
        constraints: Mapping[str, int] | None = None,
        provider_type: ProviderType | str | None = None,
        on_text: Callable[[str], object] | None = None,
        **options: Any,
    ) -> str:
        """Have a specification changed as somebody says; arguments as for `generate_gmn()`.

        Args:
            gmn_spec: the specification: text, a mapping or a `Spec`.
            feedback: what should change.
            constraints: see there.
            provider_type: see there.
            on_text: see there.
            **options: see there.

        Returns:
            The text of the changed specification; a warning says where nothing changed.

        Raises:
            GMNError: `gmn_spec` is not valid.
            GMNOutputError: no answer was a valid specification.
            ValueError: no feedback.
            LLMError: the model did not deliver.
        """
        return str(
            await _method("refine_gmn")(
                self,
                gmn_spec,
                feedback,
                constraints=constraints,
                provider_type=provider_type,
                on_text=on_text,
                **options,
            )
        )

    async def validate_gmn(
        self, gmn: Any, *, llm: bool = False, **limits: Any
    ) -> tuple[bool, list[str]]:
        """Check a specification; no model is asked.

        Args:
            gmn: text, a mapping or a `Spec`.
            llm: have the model review it, too; what it says are lines that begin with `warning:`.
            **limits: as the constraints of `generate_gmn()`.

        Returns:
            Whether it is valid, and what is wrong with it.
        """
        valid, lines = await _method("validate_gmn")(self, gmn, llm=llm, **limits)
        return bool(valid), list(lines)


def _method(name: str) -> Any:
    return getattr(import_module(_table("METHODS")[name]), name)


def _table(name: str) -> Mapping[str, str]:
    """Give a table of the package's own: it knows every layer and loads none."""
    table: Mapping[str, str] = getattr(import_module("llmport_magic"), name)
    return table
