"""What is said to a model: the templates, and what the user wrote, to the letter."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from llmport_magic.errors import ConfigError
from llmport_magic.modules.prompts import build_request
from llmport_magic.modules.strategy import AttemptPlan
from llmport_magic.modules.templates import TEMPLATES


@dataclass
class Model:
    """A model's capabilities, as far as the prompts ask for them."""

    size: str = "large"
    prefill: bool = False
    reasoning: bool = False


LARGE, SMALL = Model(), Model("small", prefill=True)
AWKWARD = (
    'a dict like {} or {prompt}, {{x}}, %s, <<prompt>>, <<code>>, \\d+, """doc"""\n>>> f("{}")'
)


def ask(model=LARGE, plan=None, **rest):
    """Build a request for a circle."""
    rest = {"name": "circle", "prompt": "the area of a circle", **rest}
    return build_request(capabilities=model, plan=plan or AttemptPlan(), **rest)


def text_of(request):
    """Give all that is said."""
    return "\n".join(message.content for message in request.messages)


@pytest.mark.parametrize("model", [LARGE, SMALL])
@pytest.mark.parametrize("current", [None, "x = 1\n"])
@pytest.mark.parametrize("name", ["circle", ""])
def test_the_prompt_arrives_to_the_letter(model, current, name):
    """Braces and placeholders in the user's prompt survive, and are not filled in (S0-21)."""
    request = ask(model, prompt=AWKWARD, current=current, name=name)

    assert text_of(request).count(AWKWARD) == 1


def test_code_and_context_are_not_searched_for_placeholders():
    """What the current code and the context hold is never filled in (S0-21)."""
    request = ask(current="t = '<<prompt>>'", context="df: <<name>>", prompt="faster")

    assert "t = '<<prompt>>'" in text_of(request)
    assert "df: <<name>>" in text_of(request)


@pytest.mark.parametrize("model", [LARGE, SMALL])
def test_the_template_demands_quality_and_code_only(model):
    """The request demands production quality, code only, and names the module (S0-22)."""
    text = text_of(ask(model))

    assert "production quality" in text
    assert "nothing else" in text or "code only" in text
    assert "docstring" in text
    assert "type hints" in text
    assert "`circle`" in text


@pytest.mark.parametrize("name", ["system", "small_system", "needed_system"])
def test_every_first_word_demands_quality(name):
    """Whatever the model's size and the request, quality and code alone are demanded (S0-22)."""
    text = TEMPLATES[name]

    assert "production quality" in text
    assert "docstring" in text
    assert "type hints" in text
    assert "no example calls" in text.replace("\n", " ")


def test_the_longest_answer_is_that_of_the_plan():
    """A small model's answer is bounded, unless it thinks first; a plan's own bound wins."""
    assert ask(SMALL).options["max_tokens"] == 1200
    assert "max_tokens" not in ask(Model("small", reasoning=True)).options
    for model in (SMALL, LARGE):
        assert ask(model, AttemptPlan(max_tokens=77)).options["max_tokens"] == 77


def test_context_is_optional_and_marked_as_data():
    """Context that the user named is sent as information, and only when there is some (S0-22)."""
    assert "df: 3 rows" in text_of(ask(context="df: 3 rows"))
    assert "not instructions" in text_of(ask(context="df: 3 rows"))
    assert "not instructions" not in text_of(ask())


@pytest.mark.parametrize("model", [LARGE, SMALL])
def test_an_update_sends_the_whole_current_code(model):
    """An update holds the full current code and the change that is wanted (S0-07)."""
    code = "def area(r):\n    return 3 * r * r\n"
    text = text_of(ask(model, current=code, prompt="use math.pi"))

    assert code.strip() in text
    assert "use math.pi" in text


def test_a_repair_sends_the_last_answer_and_what_is_wrong():
    """A repair request is a conversation: the last answer, then each finding (S0-26)."""
    plan = AttemptPlan("repair", findings=("line 3: invalid syntax", "g(1) gave 2"), previous="x=")
    request = ask(plan=plan)

    assert [str(message.role) for message in request.messages] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert request.messages[2].content == "x="
    assert "- line 3: invalid syntax\n- g(1) gave 2" in request.messages[3].content


def test_small_models_begin_with_a_fence():
    """A small model begins in a code fence, and stops at its end or at a demonstration (S0-22)."""
    request = ask(SMALL, AttemptPlan("chat", 0.0, 0))

    assert request.options["prefill"] == "```python\n"
    assert request.options["stop"][0] == "\n```"
    assert "\nprint(" in request.options["stop"]
    assert ask(SMALL, name="").options["stop"] == ["\n```"]
    assert request.options["temperature"] == 0.0
    assert request.options["seed"] == 0
    assert "prefill" not in ask(Model("small")).options


def test_samples_of_small_models_begin_with_what_the_examples_use():
    """A sample begins the first definition itself: small models like the module's name (S0-22)."""
    prompt = "`fit(xs, ys)` fits a line.\n\n>>> fit([0, 1], [1, 3])\n(2.0, 1.0)"
    sampled = ask(SMALL, AttemptPlan("chat", 0.8, 1), name="line", prompt=prompt)

    assert sampled.opening == "def fit(xs, ys"
    assert sampled.options["prefill"] == "```python\ndef fit(xs, ys"
    greedy = ask(SMALL, AttemptPlan("chat", 0.0, 0), name="line", prompt=prompt)
    assert (greedy.opening, greedy.options["prefill"]) == ("", "```python\n")
    update = ask(SMALL, AttemptPlan("chat", 0.8, 1), name="line", prompt=prompt, current="x = 1\n")
    assert update.options["prefill"] == "```python\n"
    assert ask(LARGE, AttemptPlan("chat", 0.8, 1), name="line", prompt=prompt).opening == ""


def test_large_models_get_no_options_of_ours():
    """Without a plan's own values the connector's settings decide (S0-22)."""
    assert ask().options == {}


def test_small_models_are_told_the_names():
    """A small model is told the names that the examples use, and what the module is (S0-22)."""
    text = text_of(ask(SMALL, prompt="Circles.\n\n>>> circle.area(1)\n3.14\n>>> len(wide(2))\n1"))

    assert "`circle` is the module itself" in text
    assert "the functions `area`, `wide`." in text
    stack = text_of(ask(SMALL, name="s", prompt=">>> a = s.Stack(s.size(1))\n>>> len(a)\n0"))
    assert "the function `size` and the class `Stack`." in stack
    assert "the module itself" not in text_of(ask(SMALL))


def test_completion_style_begins_the_module():
    """The raw text to continue is valid Python so far and begins the function needed (S0-22)."""
    prompt = 'Says """hi""" \\ back: `hello(name)`.\n\n>>> greet.hello("A")\n\'hi A\''
    request = ask(SMALL, AttemptPlan("completion", 0.0, 0), name="greet", prompt=prompt)

    assert request.options["raw"] is True
    assert request.messages[0].content == request.opening
    assert request.opening.endswith("\n\ndef hello(name")
    assert '\n>>> hello("A")\n' in request.opening
    compile(request.opening + "):\n    pass\n", "greet", "exec")


@pytest.mark.parametrize(
    ("prompt", "begun"),
    [
        (">>> s = stack.Stack(2)\n>>> s.push(1)\n>>> len(s)\n1", '"""\n\nclass Stack'),
        (">>> rows = stack.read(stack.make(1))\n>>> rows[0]\n1", '"""\n\ndef read'),
        (">>> import math\n>>> math.sqrt(4)\n2.0", '"""\n\n'),
        (">>> len(\n", '"""\n\n'),
        ("Like top(3): top(items, n=1).\n>>> top(5)\n5", '"""\n\ndef top(items, n=1'),
        ("wrap(s), or wrap(s, at=70).\n>>> wrap('a')\n1", '"""\n\ndef wrap(s, at=70'),
        ("not_top(x) and top(f(x))\n>>> top(5)\n5", '"""\n\ndef top'),
        ("No examples.", '"""\n\n'),
    ],
)
def test_completion_style_begins_what_the_examples_use(prompt, begun):
    """The first definition that the examples use is begun, and nothing else is presumed (S0-22)."""
    opening = ask(SMALL, AttemptPlan("completion"), name="stack", prompt=prompt).opening

    assert opening.endswith(begun)


def test_an_update_in_completion_style_shows_the_code_before():
    """The current code stands before the module to write, and is no part of it (S0-07)."""
    request = ask(SMALL, AttemptPlan("completion"), current="x = 1\n", prompt="make x 2")

    assert "x = 1" in request.messages[0].content
    assert "x = 1" not in request.opening
    assert request.messages[0].content.endswith(request.opening)


def test_a_template_file_changes_the_request_at_once(tmp_path):
    """A template file counts, and so does an edit of it, for the next request (S0-21, S4-35)."""
    path = tmp_path / "templates.toml"
    path.write_text('module = "Write <<name>> in the style of Ada: <<prompt>>"')
    first = ask(templates=str(path))
    path.write_text('module = "Briefly: <<prompt>>"')
    second = ask(templates=str(path))

    assert first.messages[1].content == "Write circle in the style of Ada: the area of a circle"
    assert second.messages[1].content == "Briefly: the area of a circle"
    assert second.messages[0].content == TEMPLATES["system"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('modul = "<<prompt>>"', "did you mean `module`"),
        ('module = "no prompt in here"', "lacks `<<prompt>>`"),
        ("module = 3", "must be a text"),
        ("module = ", "not valid TOML"),
    ],
)
def test_a_bad_template_file_is_refused(tmp_path, text, said):
    """A template file that would lose the prompt or has a typo is refused, in one line (S0-21)."""
    path = tmp_path / "templates.toml"
    path.write_text(text)

    with pytest.raises(ConfigError, match="templates") as caught:
        ask(templates=str(path))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n\nmodul = '<<prompt>>'", "line 3: did you mean `module`"),
        ("module = '<<prompt>>'\nupdate = '<<prompt>>'", "line 2 lacks `<<code>>`"),
        ("repair = 'it is wrong'", "line 1 lacks `<<findings>>`"),
        ("module = '<<prompt>>'\ncell = 'x", "line 2"),
    ],
)
def test_a_slip_in_a_template_file_is_named_with_its_line(tmp_path, text, said):
    """What is wrong is told with the line, and what a template must not lose is held (S0-22)."""
    path = tmp_path / "templates.toml"
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        ask(templates=str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_text_file_is_no_template_file(tmp_path):
    """A folder, bytes that are no UTF-8 and a file without end are refused (S0-22)."""
    (tmp_path / "latin.toml").write_bytes(b"\nmodule = '\xe4 <<prompt>>'")
    (tmp_path / "long.toml").write_text("# " + "x" * 1_000_000)

    for name, said in ((".", "no plain file"), ("latin.toml", "line 2"), ("long.toml", "too long")):
        with pytest.raises(ConfigError, match=said):
            ask(templates=str(tmp_path / name))


def test_a_missing_template_file_is_named(tmp_path):
    """A template file that is not there is an error with its path (S0-21)."""
    with pytest.raises(ConfigError, match=r"none\.toml"):
        ask(templates=str(tmp_path / "none.toml"))
