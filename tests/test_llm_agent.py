"""The agent: a loop of calls in which no tool acts without approval."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from acting import Acts, Scripted, asks, call, results_in, says

from llmport_magic.errors import UsageError
from llmport_magic.llm import CognitiveAgent, CognitiveConfig, Message, ToolCall
from llmport_magic.llm import tools as tools_module


@pytest.fixture
def acts() -> Acts:
    """Give tools that note what acted."""
    return Acts()


# The loop


async def test_a_run_without_tools_is_one_call() -> None:
    """Without a ctx and tools the model answers, and is offered none (S4-23, S4-36)."""
    llm = Scripted(says("42"))
    config = CognitiveConfig(system_prompt="Be brief.", max_iterations=5)

    result = await CognitiveAgent(ctx=None, llm=llm, config=config).run("The answer?")

    assert (result.answer, result.stop, result.steps) == ("42", "done", ())
    assert str(result) == "42"
    messages, options = llm.asked[0]
    assert messages == [Message("system", "Be brief."), Message("user", "The answer?")]
    assert options == {}
    assert tools_module.CognitiveAgent is CognitiveAgent


async def test_approved_calls_act_and_their_results_go_back(acts: Acts) -> None:
    """Each call is asked about, acts, and is answered by its id and in order (S4-14, S4-23)."""
    asked: list[ToolCall] = []
    calls = (call(id="b", x=4), call("web:note", id="a", words=["w"]))
    thinking = ({"type": "thinking", "signature": "s"},)
    llm = Scripted(asks(*calls, text="I look.", thinking=thinking), says("8 and 1"))

    def approve(one: ToolCall) -> bool:
        assert acts.done == [], "nothing acts before all were asked about"
        asked.append(one)
        return True

    agent = CognitiveAgent(acts.box, llm, CognitiveConfig(approve=approve))
    result = await agent.run("Double and note.")

    assert (result.answer, result.stop, result.reason) == ("8 and 1", "done", "")
    assert asked == list(calls)
    assert min(acts.done) == ("double", 4)
    assert [(s.call, s.turn, s.approved, s.result, s.error) for s in result.steps] == [
        (calls[0], 1, True, 8, None),
        (calls[1], 1, True, {"noted": 1}, None),
    ]
    assert result.steps[0].usage["total_tokens"] == 15
    assert result.usage == {
        "prompt_tokens": 20,
        "completion_tokens": 10,
        "cached_tokens": 4,
        "total_tokens": 30,
    }
    messages, options = llm.asked[1]
    assert results_in(messages) == [("b", "8"), ("a", '{"noted": 1}')]
    assert messages[1] == Message("assistant", "I look.", tool_calls=calls, thinking=thinking)
    assert [tool.name for tool in options["tools"]] == ["double", "web:note"]
    assert result.messages == (*messages, Message("assistant", "8 and 1"))


async def test_a_conversation_goes_on() -> None:
    """The messages of a run and one more are a goal; the system prompt stands there once."""
    llm = Scripted(says("21"), says("23"))
    agent = CognitiveAgent(llm=llm, config=CognitiveConfig(system_prompt="Be brief."))

    first = await agent.run("How warm is it in Ulm?")
    second = await agent.run([*first.messages, "And in Paris?"])

    assert second.answer == "23"
    assert [(m.role, m.content) for m in llm.asked[1][0]] == [
        ("system", "Be brief."),
        ("user", "How warm is it in Ulm?"),
        ("assistant", "21"),
        ("user", "And in Paris?"),
    ]


async def test_without_a_word_nothing_acts(acts: Acts) -> None:
    """Where nobody can be asked the run ends at the first call and says how to go on (S4-15)."""
    llm = Scripted(asks(call(x=1), call("web:note", id="c2", words=[]), text="I need tools."))

    result = await CognitiveAgent(acts.box, llm, CognitiveConfig(approved={"double"})).run("Go.")

    assert acts.done == []
    assert (result.stop, result.answer) == ("refused", "I need tools.")
    assert "`web:note` needs approval" in result.reason
    assert "approved={'web:note'}" in result.reason
    assert [step.approved for step in result.steps] == [False, False]
    assert all("not called" in str(step.error) for step in result.steps)
    assert str(result) == f"I need tools.\n[{result.reason}]"
    assert len(llm.asked) == 1


async def test_a_standing_approval_asks_nobody(acts: Acts) -> None:
    """A tool that is approved by name acts at once, and only that one is not asked about."""
    asked: list[str] = []
    llm = Scripted(asks(call(x=1), call("web:note", id="c2", words=[])), says())

    def approve(one: ToolCall) -> bool:
        asked.append(one.name)
        return False

    config = CognitiveConfig(approve=approve, approved=["double"])
    result = await CognitiveAgent(acts.box, llm, config).run("Go.")

    assert asked == ["web:note"]
    assert acts.done == [("double", 1)]
    assert result.stop == "done"
    assert [(s.approved, s.result) for s in result.steps] == [(True, 2), (False, None)]
    assert results_in(llm.asked[1][0])[1] == ("c2", "error: the user did not allow this call")


async def test_an_edited_call_acts_as_edited(acts: Acts) -> None:
    """Other arguments take the place of the model's, which is told of it (S4-15)."""

    async def approve(one: ToolCall) -> ToolCall:
        return replace(one, arguments={"x": 100}, id="ignored")

    llm = Scripted(asks(call(x=1)), says())
    result = await CognitiveAgent(acts.box, llm, CognitiveConfig(approve=approve)).run("Go.")

    assert acts.done == [("double", 100)]
    assert result.steps[0].call == call(x=100)
    messages = llm.asked[1][0]
    assert messages[1].tool_calls == (call(x=1),)
    assert results_in(messages) == [
        ("c1", '[the user changed the arguments to {"x": 100}]\n200'),
    ]


async def test_what_is_approved_is_what_acts(acts: Acts) -> None:
    """Arguments changed in place while approving are those that act; the history stays (S4-15)."""

    def approve(one: ToolCall) -> bool:
        one.arguments["words"].append("by hand")  # type: ignore[index]
        return True

    asked = call("web:note", words=["w"])
    llm = Scripted(asks(asked), says())
    result = await CognitiveAgent(acts.box, llm, CognitiveConfig(approve=approve)).run("Go.")

    assert result.steps[0].call.arguments == {"words": ["w", "by hand"]}
    assert result.steps[0].result == {"noted": 2}
    assert llm.asked[1][0][1].tool_calls[0].arguments == {"words": ["w"]}


@pytest.mark.parametrize(
    "verdict",
    ["n", 1, None, call("web:note", words=[]), ToolCall(name="double", arguments={"x": "many"})],
    ids=["text", "number", "nothing", "another tool", "bad arguments"],
)
async def test_only_a_clear_word_approves(acts: Acts, verdict: Any) -> None:
    """Anything but True, False or a call that fits is an error, and nothing acts (S4-15)."""
    llm = Scripted(asks(call(x=1)))
    agent = CognitiveAgent(acts.box, llm, CognitiveConfig(approve=lambda _: verdict))

    with pytest.raises(UsageError, match="`approve`"):
        await agent.run("Go.")

    assert acts.done == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (call("dubble", x=1), "error: there is no tool `dubble`: did you mean `double`?"),
        (call(x="many"), "error: the arguments of `double` do not fit: `x`: 'many' is not"),
        (ToolCall.read("{x: 1", name="double", id="c1"), "error: the arguments are not JSON"),
        (ToolCall.read("[1]", name="double", id="c1"), "error: the arguments are no JSON object"),
    ],
)
async def test_a_call_that_cannot_be_made_is_told_to_the_model(
    acts: Acts, asked: ToolCall, said: str
) -> None:
    """A made up name and bad arguments go back as words, without asking anybody (S4-14)."""

    def approve(_: ToolCall) -> bool:
        raise AssertionError("a call that cannot be made needs no approval")

    llm = Scripted(asks(asked), says("sorry"))
    result = await CognitiveAgent(acts.box, llm, CognitiveConfig(approve=approve)).run("Go.")

    assert (result.answer, result.stop) == ("sorry", "done")
    assert results_in(llm.asked[1][0])[0][1].startswith(said)
    assert result.steps[0].error
    assert not result.steps[0].approved
    assert acts.done == []


async def test_the_turns_are_counted(acts: Acts) -> None:
    """max_iterations is how often the model is asked; calls that nobody would read do not act."""
    llm = Scripted(*(asks(call(x=n), text=f"turn {n}") for n in range(9)))
    config = CognitiveConfig(max_iterations=3, approved={"double"})

    result = await CognitiveAgent(acts.box, llm, config).run("Go.")

    assert len(llm.asked) == 3
    assert acts.done == [("double", 0), ("double", 1)]
    assert (result.stop, result.answer) == ("max_iterations", "turn 2")
    assert "raise `max_iterations`" in result.reason
    assert [s.approved for s in result.steps] == [True, True, False]
    assert "not called" in str(result.steps[2].error)


@pytest.mark.parametrize("finish", ["length", "content_filter", "error"])
async def test_calls_of_an_answer_that_was_cut_off_do_not_act(acts: Acts, finish: str) -> None:
    """Arguments that were cut off may look whole: nothing acts on them."""
    llm = Scripted(asks(call(x=1), finish=finish))

    result = await CognitiveAgent(acts.box, llm, CognitiveConfig(approved={"double"})).run("Go.")

    assert (result.stop, acts.done) == (finish, [])


async def test_calls_without_ids_get_some(acts: Acts) -> None:
    """A model of one's own that gives no ids still has its results told apart."""
    calls = (call(id="", x=1), call(id="", x=2))
    llm = Scripted(asks(*calls), asks(call(id="", x=3)), says())

    await CognitiveAgent(acts.box, llm, CognitiveConfig(approved={"double"})).run("Go.")

    messages = llm.asked[2][0]
    assert results_in(messages) == [("call_1_0", "2"), ("call_1_1", "4"), ("call_2_0", "6")]
    assert [c.id for m in messages for c in m.tool_calls] == ["call_1_0", "call_1_1", "call_2_0"]
