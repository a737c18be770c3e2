"""The methods that connectors and factories have for specifications, without knowing them."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from typing import Any

import pytest
from drafts import GOOD, NO_PROBABILITY, TRANSPOSED, WRONG_SHAPE, good

from llmport_magic import bridge
from llmport_magic.gmn import parse
from llmport_magic.gmn.writing import facade
from llmport_magic.llm import BaseLLMConnector, LLMProviderFactory, MockConnector
from llmport_magic.llm.methods import Methods

NAMES = ("generate_gmn", "refine_gmn", "validate_gmn")


class _Silent(BaseLLMConnector):
    """A connector that must not be asked."""

    def call_llm(self, prompt: str) -> str:
        raise AssertionError(f"asked: {prompt[:50]}")


# -- validation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [GOOD, parse(GOOD), parse(GOOD).to_json()], ids=type)
async def test_validating_asks_nobody(source: Any) -> None:
    """Text, mapping and `Spec` are checked without a model (S3-30)."""
    assert await _Silent().validate_gmn(source) == (True, [])


@pytest.mark.parametrize("bad", [WRONG_SHAPE, NO_PROBABILITY, "", "node state {", "{"])
async def test_what_is_wrong_is_told_in_lines(bad: str) -> None:
    """An invalid one gives `False` and texts; nothing is raised and nobody asked (S3-30)."""
    valid, errors = await _Silent().validate_gmn(bad)

    assert valid is False
    assert errors
    assert all(isinstance(each, str) and "\n" not in each for each in errors)
    assert await _Silent().validate_gmn(bad) == (valid, errors)


async def test_limits_can_be_validated() -> None:
    """The constraints of generation count where they are given (S3-24)."""
    valid, errors = await _Silent().validate_gmn(GOOD, max_states=1)

    assert not valid
    assert "`max_states` is 1" in errors[0]
    with pytest.raises(ValueError, match="unknown constraint `max_state`"):
        await _Silent().validate_gmn(GOOD, max_state=1)


async def test_a_review_is_only_a_warning() -> None:
    """With `llm=True` a model says what is doubtful; what is valid stays valid (S3-30)."""
    mock = MockConnector(answers=["- The lamp never breaks.\n- Why two states?", "fine"])

    assert await mock.validate_gmn(GOOD, llm=True) == (
        True,
        ["warning: The lamp never breaks.", "warning: Why two states?"],
    )
    assert await mock.validate_gmn(GOOD, llm=True) == (True, [])
    assert good().to_text().strip() in mock.calls[0].messages[-1].content
    # What is not valid need not be reviewed.
    valid, _ = await mock.validate_gmn(WRONG_SHAPE, llm=True)
    assert (valid, len(mock.calls)) == (False, 2)


# -- the methods ---------------------------------------------------------------------------------


async def test_the_provider_of_a_factory_has_them() -> None:
    """`await factory.get_provider()` gives a connector that has all three (S3-11)."""
    factory = LLMProviderFactory(connectors=[MockConnector()])
    provider = await factory.get_provider()
    text = await provider.generate_gmn("an explorer in a 2x3 grid")

    assert await provider.validate_gmn(text) == (True, [])
    refined = await provider.refine_gmn(gmn_spec=text, feedback="Add memory capabilities")
    assert [each.name for each in parse(refined).factors] == ["location", "memory"]


async def test_what_was_mended_is_told() -> None:
    """A text has no notes: each mend of it is a warning (S3-25)."""
    with pytest.warns(UserWarning, match="mended: the matrix of `sense` was transposed"):
        text = await MockConnector(answers=[TRANSPOSED]).generate_gmn("a lamp")
    assert "[0.9, 0.3]" in text
    with pytest.warns(UserWarning, match="mended: the matrix of `sense` was transposed"):
        await MockConnector(answers=[TRANSPOSED]).refine_gmn(GOOD, "otherwise")


async def test_what_is_not_this_provider_cannot_be_forced() -> None:
    """A single connector asks itself only; another name is refused (S3-20)."""
    mock = MockConnector()

    assert parse(await mock.generate_gmn("a trader", provider_type="mock"))
    assert parse(await mock.generate_gmn("a trader", provider_type="auto"))
    with pytest.raises(ValueError, match="this is `mock`, which cannot ask `openai`"):
        await mock.generate_gmn("a trader", provider_type="openai")
    assert len(mock.calls) == 2


def test_every_connector_has_them() -> None:
    """They are ordinary methods: seen, documented and inherited, by factories, too."""
    for kind in (BaseLLMConnector, MockConnector, LLMProviderFactory, _Silent):
        assert set(NAMES) <= set(dir(kind))
        for name in NAMES:
            assert inspect.iscoroutinefunction(getattr(kind, name))
            assert inspect.getdoc(getattr(kind, name))
    assert not hasattr(MockConnector(), "generate_gnm")
    with pytest.raises(AttributeError, match="generate_gnm"):
        MockConnector().generate_gnm  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_both_signatures_agree(name: str) -> None:
    """What a method takes is what the function behind it takes."""
    method = inspect.signature(getattr(Methods, name)).parameters
    function = inspect.signature(getattr(facade, name)).parameters

    assert list(method)[1:] == list(function)[1:]
    defaults = {key: each.default for key, each in method.items() if key != "self"}
    assert defaults == {key: each.default for key, each in function.items() if key != "connector"}


def test_connectors_can_be_copied_and_pickled() -> None:
    """The methods are of the class: nothing of them is in a copy."""
    again = pickle.loads(pickle.dumps(_Plain()))

    assert parse(bridge.run(again.generate_gmn("x"))) == good()
    assert parse(bridge.run(copy.copy(_Plain()).generate_gmn("x"))) == good()


class _Plain(BaseLLMConnector):
    """A connector as a third party writes one."""

    def call_llm(self, prompt: str) -> str:
        assert "Generative Model Notation" in prompt
        return f"```\n{GOOD}```"


def test_a_connector_of_somebody_else_generates() -> None:
    """`call_llm(prompt)` is all that a third party's connector needs (S3-20)."""
    assert parse(bridge.run(_Plain().generate_gmn("a lamp"))) == good()


def test_nothing_is_loaded_before_it_is_used() -> None:
    """Connectors know the methods without loading the notation, or numpy."""
    code = (
        "import sys, llmport_magic; from llmport_magic.llm import MockConnector;"
        "c = MockConnector(); dir(c); hasattr(c, 'generate_gmn');"
        "print([m for m in sys.modules if m.startswith(('llmport_magic.gmn', 'numpy'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == "[]\n"
