"""Tools: their schemas, their names, and the box that calls Python functions."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import datetime as dt
import enum
import functools
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pytest
from asking import KEY
from loopback import Loopback, raw

from llmport_magic.errors import UsageError
from llmport_magic.llm import Message, Tool, ToolBox, ToolCall, ToolFailure
from llmport_magic.llm.tool_schema import problem
from llmport_magic.llm.tools import as_tools, legal_names
from llmport_magic.secrets import Secret


class Unit(enum.Enum):
    """A unit of temperature."""

    CELSIUS = "celsius"
    KELVIN = "kelvin"


@dataclass
class Place:
    """Where."""

    city: str
    country: str = "DE"


@dataclass
class Tree:
    """A type that holds itself."""

    children: list[Tree]


def weather(
    place: Place,
    days: Annotated[int, msgspec.Meta(ge=1, le=7, description="how far to look")],
    unit: Unit = Unit.CELSIUS,
    since: dt.date | None = None,
) -> str:
    """Tell the weather of a place.

    It asks nobody: this is a test.

    Args:
        place: where, as exactly
            as you can.
        days: not used, the annotation says it.
        unit (Unit): of the answer.
        since: from when on.

    Returns:
        One line.
    """
    return f"{place.city}, {place.country}: {days} days, {unit.name}, {since!r}"


def test_a_function_becomes_a_tool() -> None:
    """Signature and docstring give name, description and schema, without references (S4-14)."""
    tool = Tool.from_function(weather)

    assert tool.name == "weather"
    assert tool.description == (
        "Tell the weather of a place.\n\nIt asks nobody: this is a test.\n\nReturns:\n    One line."
    )
    properties = tool.parameters["properties"]
    assert tool.parameters["required"] == ["place", "days"]
    assert tool.parameters["additionalProperties"] is False
    assert properties["place"]["description"] == "where, as exactly as you can."
    assert properties["place"]["properties"]["city"] == {"type": "string"}
    assert properties["place"]["required"] == ["city"]
    assert properties["days"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 7,
        "description": "how far to look",
    }
    assert properties["unit"]["enum"] == ["celsius", "kelvin"]
    assert properties["unit"]["default"] == "celsius"
    assert properties["since"] == {
        "anyOf": [{"type": "string", "format": "date"}, {"type": "null"}],
        "description": "from when on.",
        "default": None,
    }
    assert "$ref" not in str(tool.parameters)


def test_a_name_and_a_description_can_be_given() -> None:
    """What is given stands in the place of what the function says (S4-14)."""
    tool = Tool.from_function(weather, name="web:weather", description="")

    assert (tool.name, tool.description) == ("web:weather", "")


def _untyped(x): ...
def _many(*names: str) -> None: ...
def _anything(**fields: str) -> None: ...
def _first_only(x: int, /) -> None: ...
def _numbers(z: complex) -> None: ...
def _recursive(tree: Tree) -> None: ...
def _misnamed(x: Plaice) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_untyped, r"write the type of `x`, as in `x: str`"),
        (_many, r"`\*names: str` cannot be given by a name"),
        (_anything, r"`\*\*fields: str` cannot be given by a name"),
        (_first_only, r"cannot be given by a name"),
        (_numbers, r"no word for the type of `z` \(.*complex.*\)"),
        (_recursive, r"`tree` cannot .*: `Tree` holds itself"),
        (_misnamed, r"annotation name 'Plaice' is not defined"),
        (dict, r"`dict` cannot be a tool: it has no signature"),
    ],
)
def test_a_function_without_a_schema_is_refused(function: Any, said: str) -> None:
    """What the model could not be told is refused, with what to write instead (S4-14)."""
    with pytest.raises(UsageError, match=said):
        as_tools([function])


def test_tools_are_given_in_any_shape() -> None:
    """Functions, tools and mappings of both shapes are tools; bad and equal ones are not."""
    function = {"name": "b", "description": "d", "parameters": {"type": "object"}}
    tools = as_tools([weather, Tool(name="a"), {"type": "function", "function": function}])

    assert [tool.name for tool in tools] == ["weather", "a", "b"]
    assert tools[2].parameters == {"type": "object"}
    with pytest.raises(UsageError, match="two tools are called `a`"):
        as_tools([Tool(name="a"), {"name": "a"}])
    with pytest.raises(UsageError, match="mapping with `name`"):
        as_tools([{"description": "nameless"}])


def test_names_are_made_legal_and_stay_apart() -> None:
    """Names become letters, digits, `_` and `-`, at most 64, and no two the same (S4-14)."""
    long = "x" * 70
    legal = legal_names(
        ["web:search", "web search", "web_search", "größe", long, long + "y", "?", "2fa"]
    )

    assert list(legal.values()) == [
        "web_search",
        "web_search_2",
        "web_search_3",
        "gr_e",
        "x" * 64,
        "x" * 61 + "_2",
        "_",
        "_2fa",
    ]


# What fits a schema


SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["city"],
}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"city": "Ulm"}, None),
        ({}, "'city' is a required property"),
        ({"city": 3}, "`city`: 3 is not of type 'string'"),
        ({"city": "Ulm", "tags": ["a", None]}, "`tags[1]`: None is not of type 'string'"),
    ],
)
def test_arguments_are_held_against_their_schema(
    arguments: dict[str, Any], said: str | None
) -> None:
    """A misfit is one short line that names the place (S4-14)."""
    assert problem(arguments, SCHEMA) == said
    assert len(problem({"city": [0] * 10_000}, SCHEMA) or "") < 400


@pytest.mark.parametrize("schema", [{"type": "no such type"}, {"$ref": "#/nowhere"}])
def test_a_broken_schema_is_the_users(schema: dict[str, Any]) -> None:
    """A schema that is none is refused with what is wrong."""
    with pytest.raises(UsageError, match="a tool's `parameters`"):
        problem({}, schema)


def test_a_schema_fetches_nothing() -> None:
    """An address in a schema is refused, and nobody is asked there."""
    with Loopback() as server:
        server.always(raw('{"type": "object"}'))
        with pytest.raises(UsageError, match="reference to nothing"):
            problem({}, {"$ref": f"{server.url}/schema"})

        assert server.requests == []


# The box


async def test_a_box_calls_by_name_with_real_types() -> None:
    """Arguments arrive as the types that the function asks for (S4-15)."""
    box = ToolBox([weather])
    payload = {"place": {"city": "Ulm"}, "days": 2, "unit": "kelvin", "since": "2026-01-02"}

    said = await box.tool("weather", payload=payload)

    assert said == "Ulm, DE: 2 days, KELVIN, datetime.date(2026, 1, 2)"
    assert box.tools == as_tools([weather])


async def test_functions_of_every_kind_are_called() -> None:
    """Async functions run on the loop, others in a thread, and what they return comes (S4-15)."""
    box = ToolBox()

    @box.add
    async def here() -> bool:
        return threading.current_thread() is threading.main_thread()

    @box.add
    def there() -> bool:
        return threading.current_thread() is threading.main_thread()

    async def add(x: int, y: int) -> int:
        await asyncio.sleep(0)
        return x + y

    box.add(functools.partial(add, y=2), name="math:add")

    assert await box.tool("here") is True
    assert await box.tool("there", {}) is False
    assert await box.tool("math:add", payload={"x": 1}) == 3


def broken(kind: Literal["key", "exit", "stop"]) -> None:
    """Fail in one of several ways."""
    if kind == "key":
        raise KeyError(f"no entry for {KEY}")
    if kind == "exit":
        sys.exit("leaving")
    raise StopIteration


@pytest.mark.parametrize(
    ("name", "payload", "said"),
    [
        ("wether", {}, "there is no tool `wether`: did you mean `weather`?"),
        ("x", {}, "there is no tool `x`: there are: weather, broken"),
        (
            "weather",
            {"place": {"city": "Ulm"}, "days": 9},
            "the arguments of `weather` do not fit: `days`: 9 is greater than the maximum of 7",
        ),
        (
            "weather",
            {"place": {"city": "Ulm"}, "days": 1, "since": "soon"},
            "the arguments of `weather` do not fit: `since`: Invalid RFC3339 encoded date",
        ),
        ("broken", {"kind": "key"}, "`broken` raised KeyError: 'no entry for ********'"),
        ("broken", {"kind": "exit"}, "RuntimeError: the function raised SystemExit('leaving')"),
        ("broken", {"kind": "stop"}, "RuntimeError: the function raised StopIteration()"),
    ],
)
async def test_what_fails_is_told_to_the_model(
    name: str, payload: dict[str, Any], said: str
) -> None:
    """An unknown name, misfitting arguments and an exception are words, not a crash (S4-15)."""
    Secret(KEY)

    result = await ToolBox([weather, broken]).tool(name, payload=payload)

    assert isinstance(result, ToolFailure)
    assert result.startswith("error: ")
    assert said in result
    assert KEY not in result
    call = ToolCall(name=name, id="c1")
    assert Message.tool_result(call, result).content == result


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        ([1, 2.5, True], "[1, 2.5, true]"),
        (
            {"place": Place("Ulm"), "unit": Unit.KELVIN},
            '{"place": {"city": "Ulm", "country": "DE"}',
        ),
        ({"day": dt.date(2026, 1, 2)}, '{"day": "2026-01-02"}'),
        (3 + 4j, '"(3+4j)"'),
        ({(1, 2): "a key that JSON has not"}, "{(1, 2): 'a key that JSON has not'}"),
        (CIRCLE, "[[...]]"),
        ("half \udcff of a name", "half ? of a name"),
    ],
)
def test_any_result_can_be_told(result: Any, text: str) -> None:
    """Whatever a tool returns becomes a text that can be sent (S4-14)."""
    told = Message.tool_result(ToolCall(name="t", id="c1"), result)

    assert told.content.startswith(text)
    assert (told.role, told.name, told.tool_call_id) == ("tool", "t", "c1")
    told.content.encode()


def test_a_failure_stays_what_it_is() -> None:
    """A copy of a failure is the same failure, as a result that is stored needs it."""
    failure = ToolFailure.because("no such file")

    for same in (copy.deepcopy(failure), pickle.loads(pickle.dumps(failure))):
        assert same == "error: no such file"
        assert type(same) is ToolFailure


def test_a_box_holds_functions_only() -> None:
    """A tool that nothing can act for, and a second one of a name, are refused (S4-15)."""
    with pytest.raises(UsageError, match="`a` has no function"):
        ToolBox([Tool(name="a")])
    with pytest.raises(UsageError, match="two tools are called `weather`"):
        ToolBox([weather]).add(weather)


async def test_a_function_sees_the_context_of_its_caller() -> None:
    """Context variables reach a synchronous function in its thread, as traces need it."""
    where = contextvars.ContextVar("where", default="nowhere")

    def look() -> str:
        return where.get()

    where.set("here")

    assert await ToolBox([look]).tool("look") == "here"


async def test_a_cancelled_call_does_not_wait_for_its_thread() -> None:
    """Who cancels gets on at once, though a thread cannot be stopped (S4-15)."""
    begun, go = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go.wait()

    task = asyncio.ensure_future(ToolBox([slow]).tool("slow"))
    try:
        while not begun.is_set():  # noqa: ASYNC110 - it is set in another thread
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        go.set()


def test_tools_are_light_to_import() -> None:
    """Connectors that use no tools do not pay for the schema library."""
    code = "import sys, llmport_magic.llm.provider; print('jsonschema' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
