"""What the mock writes when it is asked for a specification: no model, but one that runs.

It reads of a request the agent's type, a grid (`5x5`), a number of others, the words `cautious` and
`curious`, and the limits; of a change `memory`, those words, and how far to look ahead. The same
request gets the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from llmport_magic.gmn.notation.nodes import Call, Value
from llmport_magic.gmn.spec import Factor, Spec, Transition
from llmport_magic.gmn.writing.prompting import texts

if TYPE_CHECKING:
    from llmport_magic.llm.messages import Message

Temper = Literal["", "cautious", "curious"]

_BY = "written by the mock, no model was asked"
_COMMENT = f"# {_BY[0].upper()}{_BY[1:]}.\n"
_GRID = re.compile(r"(\d+)\s*(?:x|\u00d7|by)\s*(\d+)", re.IGNORECASE)
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_OTHERS = re.compile(
    rf"\b(\d+|{'|'.join(_NUMBERS)})\s+(?:\w+\s+)?"
    r"(?:agents|members|robots|workers|teams|tasks|people|machines|hypotheses|causes|options)",
    re.IGNORECASE,
)
_NAMES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_LARGEST, _USUAL_SIDE = 20, 5
# Words that say what a general agent is.
_KINDS = (
    ("explorer", r"explor|grid|maze|forag|navigat|wander"),
    ("trader", r"trad(e|ing)|market|stock|invest"),
    ("coordinator", r"coordinat|team|dispatch|assign"),
    ("analyst", r"analy[sz]|hypothes|diagnos|investigat|detect"),
    ("creative", r"creativ|compos|poet|paint|design|story"),
)
_MEMORY = re.compile(r"memor|remember|recall", re.IGNORECASE)
_AHEAD = re.compile(r"\bhorizon\D{0,12}(\d+)|(\d+)\s+steps?\s+ahead", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the mock understands of a request."""

    prompt: str
    agent_type: str
    limits: Mapping[str, int]

    @property
    def temper(self) -> Temper:
        return _temper(self.prompt)

    @property
    def horizon(self) -> int | None:
        """What is asked for; else as far as suits the number of actions."""
        return self.limits.get("horizon")

    def most(self, name: str, usual: int) -> int:
        return min(self.limits.get(name, usual), usual)


def answer(messages: Sequence[Message]) -> str:
    """Write the specification that a request asks for.

    Args:
        messages: as `prompting.py` makes them.
    """
    for message in reversed(messages):
        if message.role != "user":
            continue
        for kind in ("refine", "small_refine"):
            found = _read(kind, message.content)
            if found is not None:
                return _COMMENT + _refined(found["current"], found["prompt"])
        for kind in ("request", "small_request"):
            found = _read(kind, message.content)
            if found is not None:
                asked = _Asked(found["prompt"], found["type"], _limits(found["limits"] or ""))
                return _COMMENT + _written(asked)
        if message.content == texts()["review"] or _read("review", message.content):
            return "fine"
    return _COMMENT + _written(_Asked("", "general", {}))


def _read(name: str, text: str) -> dict[str, str] | None:
    """Read what stands in the place of a template's placeholders; `None` for another text."""
    parts = re.split(r"(<<\w+>>)(\n*)", texts()[name].strip("\n"))
    pattern = ""
    for index, part in enumerate(parts):
        if index % 3 == 0:
            pattern += re.escape(part)
        elif index % 3 == 1:
            field, after = part[2:-2], re.escape(parts[index + 1])
            alone = field == "limits" and bool(after)
            pattern += f"(?:(?P<{field}>.*?){after})?" if alone else f"(?P<{field}>.*?){after}"
    found = re.fullmatch(pattern, text, re.DOTALL)
    return found.groupdict() if found else None


def _limits(said: str) -> dict[str, int]:
    found = {}
    for name, words in texts()["limits"].items():
        match = re.search(re.escape(words).replace(re.escape("<<n>>"), r"(\d+)"), said)
        if match:
            found[name] = int(match[1])
    return found


def _temper(text: str) -> Temper:
    if re.search(r"cautio|careful|risk.?averse|\bsafe", text, re.IGNORECASE):
        return "cautious"
    return "curious" if re.search(r"curio|adventur|inquisitiv", text, re.IGNORECASE) else ""


# -- new ones ------------------------------------------------------------------------------------


def _written(asked: _Asked) -> str:
    kind = asked.agent_type
    if kind == "general":
        words = (
            name for name, pattern in _KINDS if re.search(pattern, asked.prompt, re.IGNORECASE)
        )
        kind = next(words, "general")
    if _GRID.search(asked.prompt):
        kind = "explorer"
    written = {
        "explorer": _explorer,
        "trader": _trader,
        "coordinator": _coordinator,
        "analyst": _analyst,
        "creative": _creative,
    }.get(kind, _general)
    return written(asked).strip() + "\n"


def _agent(asked: _Asked, name: str, horizon: int, what: str) -> str:
    temper = f"{asked.temper} " if asked.temper else ""
    name = f"{asked.temper}_{name}" if asked.temper else name
    article = "an" if f"{temper}{what}"[0] in "aeiou" else "a"
    return (
        f"agent {name} {{ type: {asked.agent_type}, horizon: {asked.horizon or horizon}, "
        f'description: "{article} {temper}{what}; {_BY}" }}'
    )


def _explorer(asked: _Asked) -> str:
    rows, columns = _sides(asked)
    cells = rows * columns
    goal, danger = cells - 1, (rows // 2) * columns + columns // 2
    danger = 1 if danger == goal else danger
    passable = min(rows, columns) > 1
    moves = ["up", "right", "down", "left", "stay"][: asked.most("max_actions", 5)]
    sight = {"cautious": "noisy(0.95)", "curious": "near(0.7)"}.get(asked.temper, "noisy(0.9)")
    wants = {
        "cautious": f"sum(toward({goal}, 0.2), goal({goal}, 1.0), avoid({danger}, 4.0))"
        if passable
        else f"sum(toward({goal}, 0.5), goal({goal}, 0.5))",
        "curious": f"goal({goal}, 0.5)",
    }.get(asked.temper, f"sum(toward({goal}, 0.3), goal({goal}, 2.0))")
    place = f"size: {cells}, shape: [{rows}, {columns}]"
    what = f"explorer in a {rows} x {columns} grid on its way to the last cell"
    return f"""
{_agent(asked, "explorer", 2, what)}
node state location {{ {place}, initial: onehot(0) }}
node observation sight {{ {place} }}
node action move {{ size: {len(moves)}, labels: [{", ".join(moves)}] }}
node emission see {{ to: sight, from: location, matrix: {sight} }}
node transition walk {{ to: location, from: [location, move], matrix: grid({rows}, {columns}) }}
node preference want {{ over: sight, values: {wants} }}"""


def _sides(asked: _Asked) -> tuple[int, int]:
    found = _GRID.search(asked.prompt)
    rows, columns = map(int, found.groups()) if found else (_USUAL_SIDE, _USUAL_SIDE)
    rows, columns = (max(1, min(side, _LARGEST)) for side in (rows, columns))
    most = min(asked.most("max_states", rows * columns), asked.most("max_observations", 400))
    while rows * columns > max(most, 1):
        rows, columns = (rows - 1, columns) if rows >= columns else (rows, columns - 1)
    return (rows, columns) if rows * columns > 1 else (1, 2)


def _trader(asked: _Asked) -> str:
    wants = {"cautious": "[-4.0, 0.0, 1.0]", "curious": "[-0.5, 0.0, 0.5]"}.get(
        asked.temper, "[-2.0, 0.0, 2.0]"
    )
    return f"""
{_agent(asked, "trader", 2, "trader who infers the market's regime from prices")}
node state market {{ size: 3, labels: [falling, flat, rising] }}
node state position {{ size: 2, labels: [out, invested], initial: onehot(out) }}
node observation price {{ size: 3, labels: [down, same, up] }}
node observation result {{ size: 3, labels: [loss, nothing, profit] }}
node action trade {{ size: 3, labels: [sell, hold, buy] }}
node emission quote {{ to: price, from: market, matrix: noisy(0.8) }}
node emission settle {{ to: result, from: [market, position], \
matrix: by(position, [onehot(nothing), map([loss, nothing, profit], 0.9)]) }}
node transition regime {{ to: market, from: market, matrix: near(0.9) }}
node transition deal {{ to: position, from: [position, trade], \
matrix: by(trade, [onehot(out), identity, onehot(invested)]) }}
node preference gain {{ over: result, values: {wants} }}"""


def _coordinator(asked: _Asked) -> str:
    most = min(
        asked.most("max_states", 18) // 2 - 1,
        asked.most("max_actions", 9) - 1,
        asked.most("max_observations", 11) - 3,
    )
    names = _NAMES[: max(1, min(_count(asked.prompt, 3), most))]
    labels = ", ".join(("nobody", *names))
    count = len(names) + 1
    helped = ", ".join(
        f"map([{', '.join('done' if need == help_ else 'stuck' for need in range(count))}])"
        for help_ in range(count)
    )
    sharp = {"cautious": 0.9, "curious": 0.7}.get(asked.temper, 0.8)
    wants = {"cautious": "[-4.0, 1.0]", "curious": "[0.0, 0.5]"}.get(asked.temper, "[-1.0, 2.0]")
    return f"""
{_agent(asked, "coordinator", 2, f"coordinator of {len(names)} who helps whom the work holds up")}
node state need {{ size: {count}, labels: [{labels}] }}
node state helping {{ size: {count}, labels: [{labels}], initial: onehot(nobody) }}
node observation report {{ size: {count}, labels: [{labels}] }}
node observation progress {{ size: 2, labels: [stuck, done] }}
node action help {{ size: {count}, labels: [{labels}] }}
node emission tell {{ to: report, from: need, matrix: noisy({sharp}) }}
node emission work {{ to: progress, from: [need, helping], matrix: by(helping, [{helped}]) }}
node transition change {{ to: need, from: need, matrix: noisy(0.9) }}
node transition assign {{ to: helping, from: [helping, help], matrix: goto }}
node preference finish {{ over: progress, values: {wants} }}"""


def _count(prompt: str, usual: int) -> int:
    found = _OTHERS.search(prompt)
    if not found:
        return usual
    word = found[1].lower()
    return _NUMBERS.index(word) if word in _NUMBERS else int(word)


def _analyst(asked: _Asked) -> str:
    most = min(
        (asked.most("max_states", 17) - 1) // 2,
        asked.most("max_actions", 9) - 1,
        asked.most("max_observations", 11) - 3,
    )
    names = _NAMES[: max(2, min(_count(asked.prompt, 3), most))]
    labels, count = ", ".join(names), len(names)
    judged = ", ".join(
        f"map([{', '.join('right' if truth == said else 'wrong' for truth in names)}])"
        for said in names
    )
    wants = {
        "cautious": "sum(goal(right, 2.0), avoid(wrong, 6.0))",
        "curious": "sum(goal(right, 1.0), avoid(wrong, 1.0))",
    }.get(asked.temper, "sum(goal(right, 3.0), avoid(wrong, 3.0))")
    return f"""
{_agent(asked, "analyst", 2, f"analyst who weighs {count} hypotheses before it concludes")}
node state truth {{ size: {count}, labels: [{labels}] }}
node state said {{ size: {count + 1}, labels: [nothing, {labels}], initial: onehot(nothing) }}
node observation evidence {{ size: {count}, labels: [{labels}] }}
node observation outcome {{ size: 3, labels: [open, right, wrong] }}
node action conclude {{ size: {count + 1}, labels: [nothing, {labels}] }}
node emission look {{ to: evidence, from: truth, matrix: noisy(0.8) }}
node emission judge {{ to: outcome, from: [truth, said], \
matrix: by(said, [onehot(open), {judged}]) }}
node transition decide {{ to: said, from: [said, conclude], matrix: goto }}
node preference correct {{ over: outcome, values: {wants} }}"""


def _creative(asked: _Asked) -> str:
    wants = {
        "cautious": "sum(goal(pleased, 1.0), avoid([bored, puzzled], 3.0))",
        "curious": "goal(pleased, 0.4)",
    }.get(asked.temper, "sum(goal(pleased, 1.0), avoid(bored, 0.5))")
    return f"""
{_agent(asked, "creative", 2, "maker of things who learns what its audience likes")}
node state idea {{ size: 3, labels: [familiar, fresh, daring], initial: onehot(familiar) }}
node state audience {{ size: 2, labels: [reserved, open] }}
node observation response {{ size: 3, labels: [bored, pleased, puzzled] }}
node action work {{ size: 3, labels: [simplify, keep, vary] }}
node emission react {{ to: response, from: [idea, audience], \
matrix: map([[pleased, bored], [pleased, pleased], [puzzled, pleased]], 0.8) }}
node transition make {{ to: idea, from: [idea, work], matrix: line(steps=[-1, 0, 1]) }}
node transition taste {{ to: audience, from: audience, matrix: noisy(0.95) }}
node preference please {{ over: response, values: {wants} }}"""


def _general(asked: _Asked) -> str:
    count = max(2, min(3, *(asked.most(f"max_{n}", 3) for n in ("states", "observations"))))
    labels = ", ".join(["poor", "fair", "good"][3 - count :])
    moves = ["back", "on", "stay"][: max(2, asked.most("max_actions", 3))]
    steps = ", ".join(["-1", "1", "0"][: len(moves)])
    wants = {"cautious": "sum(goal(good, 1.0), avoid(0, 3.0))", "curious": "goal(good, 0.5)"}.get(
        asked.temper, "goal(good, 2.0)"
    )
    return f"""
{_agent(asked, "improver", 2, "agent who makes its situation better, which it sees unclearly")}
node state situation {{ size: {count}, labels: [{labels}] }}
node observation impression {{ size: {count}, labels: [{labels}] }}
node action act {{ size: {len(moves)}, labels: [{", ".join(moves)}] }}
node emission seem {{ to: impression, from: situation, matrix: noisy(0.8) }}
node transition change {{ to: situation, from: [situation, act], matrix: line(steps=[{steps}]) }}
node preference improve {{ over: impression, values: {wants} }}"""


# -- changed ones --------------------------------------------------------------------------------


def _refined(current: str, feedback: str) -> str:
    """Give the specification with what the mock understands of the change; else as it is."""
    from llmport_magic.gmn.validation import parse

    spec = parse(current)
    if _MEMORY.search(feedback):
        spec = _with_memory(spec)
    if temper := _temper(feedback):
        wants = tuple(
            replace(each, values=_weighed(each.values, temper)) for each in spec.preferences
        )
        spec = replace(spec, preferences=wants)
    if found := _AHEAD.search(feedback):
        spec = replace(spec, horizon=int(found[1] or found[2]))
    return spec.to_text()


def _with_memory(spec: Spec) -> Spec:
    """Add a factor that remembers whether the agent was ever in the last state of the first."""
    taken = set(re.findall(r"^node \w+ (\w+)", spec.to_text(), re.MULTILINE))
    first = spec.factors[0]
    name, link = (_free(word, taken) for word in ("memory", "remember"))
    memory = Factor(
        name=name,
        size=2,
        labels=("not_yet", "was_there"),
        initial=Call("onehot", (0,)),
        description=f"whether `{first.name}` was ever in its last state; {_BY}",
    )
    transition = Transition(
        name=link,
        to=name,
        of=(name, first.name),
        matrix=Call("latch", (first.name, (first.size - 1,))),
    )
    return replace(
        spec, factors=(*spec.factors, memory), transitions=(*spec.transitions, transition)
    )


def _free(word: str, taken: set[str]) -> str:
    names = (word, *(f"{word}_{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _weighed(values: Value, temper: Temper) -> Value:
    """Make losses weigh twice as much, or everything half."""
    if isinstance(values, tuple):
        factors = (2.0, 1.0) if temper == "cautious" else (0.5, 0.5)
        return tuple(
            each * factors[each > 0] if isinstance(each, (int, float)) else each for each in values
        )
    if not isinstance(values, Call):
        return values
    if values.name == "sum":
        return replace(values, arguments=tuple(_weighed(v, temper) for v in values.arguments))
    factor = {"cautious": {"avoid": 2.0}, "curious": {"avoid": 0.5, "goal": 0.5, "toward": 0.5}}[
        temper
    ].get(values.name)
    if factor is None or not values.arguments:
        return values
    where, *rest = values.arguments
    strength = rest[0] if rest and isinstance(rest[0], (int, float)) else 1.0
    return replace(values, arguments=(where, strength * factor))
