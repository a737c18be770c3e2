"""Models for Cloud Run: the lists, the user's over them, and Ollama's default out of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback, raw

import llmport_magic
from llmport_magic.errors import ConfigError
from llmport_magic.llm import OLLAMA_CLOUD_RUN_MODELS_PY, create_llm_handler
from llmport_magic.llm.cloud_run import merged_lists, preferred_model
from llmport_magic.llm.registry import default_registry

pytestmark = pytest.mark.usefixtures("own_registry")
FIRST = "codegemma:7b-it"


def test_the_lists_are_catalogue_data() -> None:
    """The constant has its four keys, memory that fits each class and ids that exist (S2-09)."""
    lists = OLLAMA_CLOUD_RUN_MODELS_PY
    ids = {model["id"] for fit in ("excellent_fit", "good_fit") for model in lists[fit]}

    assert list(lists) == [
        "excellent_fit",
        "good_fit",
        "default_coding_preference_order",
        "default_general_preference_order",
    ]
    assert all(0 < model["est_memory_needed_gb"] <= 4 for model in lists["excellent_fit"])
    assert all(4 < model["est_memory_needed_gb"] <= 8 for model in lists["good_fit"])
    assert all(model["notes"] and model["ollama_name"] for model in lists["good_fit"])
    assert lists["default_coding_preference_order"][0] == FIRST
    for order in ("default_coding_preference_order", "default_general_preference_order"):
        assert set(lists[order]) <= ids


def test_the_lists_cannot_be_changed() -> None:
    """Neither the mapping nor a model in it takes a value (S2-09)."""
    lists: Any = OLLAMA_CLOUD_RUN_MODELS_PY

    with pytest.raises(TypeError):
        lists["good_fit"] = []
    with pytest.raises(TypeError):
        lists["good_fit"][0]["id"] = "x"
    with pytest.raises(AttributeError):
        lists["default_coding_preference_order"].append("x")


async def test_ollama_without_a_model_takes_the_first_for_code(server: Loopback) -> None:
    """With nothing set, a named Ollama is asked for the first coding preference (S2-11)."""
    handler = await create_llm_handler("ollama", base_url=server.url)
    general = await create_llm_handler("ollama", base_url=server.url, prefer="general")

    assert handler.model_name_for_api == FIRST
    assert general.model_name_for_api == "llama3.1:8b"
    assert server.requests == []


@pytest.mark.parametrize("how", ["argument", "variable", "configure", "named"])
async def test_a_model_that_is_set_anywhere_goes_first(
    how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The lists are asked last: any setting of a model stands before them (S2-11)."""
    if how == "variable":
        monkeypatch.setenv("LLMPORT_OLLAMA_MODEL", "mine:1b")
    if how == "configure":
        llmport_magic.configure(llm={"ollama": {"model": "mine:1b"}})
    if how == "named":
        (tmp_path / "own.toml").write_text("[llm.ollama]\nmodel = 'mine:1b'\n", "utf-8")
        monkeypatch.setenv("LLMPORT_CONFIG", str(tmp_path / "own.toml"))

    handler = await create_llm_handler("ollama", "mine:1b" if how == "argument" else None)

    assert handler.model_name_for_api == "mine:1b"


async def test_an_ollama_that_was_found_is_asked_for_what_it_has(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `auto` finds an Ollama, a model that is installed there answers (S2-11)."""
    monkeypatch.setattr("llmport_magic.llm.transport.answers", lambda url, _: "/api/" in url)
    row = default_registry().provider("ollama")
    default_registry().register_provider(replace(row, base_url=server.url), replace=True)
    server.always(raw(json.dumps({"models": [{"name": "tiny:1b", "model": "tiny:1b"}]})))

    handler = await create_llm_handler()

    assert (handler.provider_name, handler.model_name_for_api) == ("ollama", "tiny:1b")
    assert [request.path for request in server.requests] == ["/api/tags"]


LISTS: dict[str, Any] = {
    "good_fit": [{"id": "own", "ollama_name": "own:3b"}, {"id": "phi4-mini", "notes": "mine"}],
}
CODING, GENERAL = "default_coding_preference_order", "default_general_preference_order"


@pytest.mark.parametrize(
    ("given", "coding", "general"),
    [
        ({CODING: ["gone", "own"]}, "own:3b", "llama3.1:8b"),
        ({CODING: ["gone"]}, "llama3.1:8b", "llama3.1:8b"),
        ({CODING: []}, "llama3.1:8b", "llama3.1:8b"),
        ({GENERAL: []}, FIRST, FIRST),
        ({CODING: ["phi4-mini"]}, "phi4-mini", "llama3.1:8b"),
        ({"mode": "replace", CODING: ["own"]}, "own:3b", "own:3b"),
    ],
    ids=["unknown skipped", "all unknown", "empty", "general empty", "either fit", "replaced"],
)
def test_orders_fall_back_on_each_other(given: Any, coding: str, general: str) -> None:
    """Unknown ids are skipped, in both fits, and an empty order gives way to the other (S2-11)."""
    lists = merged_lists({**LISTS, **given}, "here")

    assert preferred_model(lists) == coding
    assert preferred_model(lists, "general") == general


async def test_without_any_order_the_shipped_default_is_taken_aloud() -> None:
    """Where both orders are empty, the shipped first answers and a warning says so (S2-11)."""
    llmport_magic.configure(cloud_run_friendly_models={CODING: [], GENERAL: []})

    with pytest.warns(UserWarning, match=f"`{FIRST}` is taken"):
        handler = await create_llm_handler("ollama")

    assert handler.model_name_for_api == FIRST


def test_lists_are_merged_by_id_and_orders_replaced() -> None:
    """A model replaces that of its id in either fit; `replace` leaves nothing shipped (S2-10)."""
    shipped = OLLAMA_CLOUD_RUN_MODELS_PY

    more = merged_lists({**LISTS, CODING: ["own"]}, "here")
    less = merged_lists({**LISTS, "mode": "replace"}, "here")

    assert [m["id"] for m in more["good_fit"][:-2]] == [m["id"] for m in shipped["good_fit"]]
    assert [m["id"] for m in more["good_fit"][-2:]] == ["own", "phi4-mini"]
    assert "phi4-mini" not in [model["id"] for model in more["excellent_fit"]]
    assert more[CODING] == ("own",)
    assert more[GENERAL] == shipped[GENERAL]
    assert [m["id"] for m in less["good_fit"]] == ["own", "phi4-mini"]
    assert (less["excellent_fit"], less[CODING], less[GENERAL]) == ((), (), ())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"good_fits": []}, "did you mean `good_fit`"),
        ({"good_fit": [{"name": "x"}]}, "with an `id`"),
        ({"good_fit": [{"id": "x", "memory": 3}]}, "unknown field `memory`"),
        ({"good_fit": [{"id": "x", "est_memory_needed_gb": -1}]}, "above 0"),
        ({CODING: "x"}, "must be a list"),
        ({"mode": "merge"}, "extend, replace"),
    ],
)
async def test_lists_of_another_shape_are_refused(given: Any, message: str) -> None:
    """What cannot be read in the lists is said with the field and the source (S2-10)."""
    llmport_magic.configure(cloud_run_friendly_models=given)

    with pytest.raises(ConfigError, match=message) as caught:
        await create_llm_handler("ollama")

    assert "configure()" in str(caught.value)
