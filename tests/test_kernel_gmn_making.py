"""`%%gmn` in a real kernel: a prompt, a picture or a text becomes a specification of an agent."""

from __future__ import annotations

import json

import pytest
from drafts import GOOD, NO_PROBABILITY
from kernels import Kernel
from lamp_cells import CELL, LINKED, REFINE, made, shell
from test_kernel import answer, journal, wait_for_line

__all__ = ["shell"]
pytestmark = pytest.mark.kernel


def test_a_prompt_becomes_a_specification_and_a_cell(shell: Kernel) -> None:
    """The prompt gives a bound `Spec`, its file, one cell with its text, and a record (S3-49)."""
    answer(shell, "f'Here it is:\\n\\n```gmn\\n{LAMP}```'")
    outcome = shell.run(CELL, cell_id="p1")
    assert outcome.status == "ok", outcome.shown
    assert "✓ lamp v1 · valid" in outcome.shown
    assert "room (dark, bright)" in outcome.shown
    assert "switch (off, on)" in outcome.shown
    assert "scripted s1 · 1 attempt" in outcome.shown
    assert len(outcome.displays) == 1
    first, _, body = outcome.next_cell.partition("\n")
    assert first.startswith(LINKED)
    assert body == (shell.folder / "lamp.gmn").read_text("utf-8")
    assert shell.value("type(lamp).__name__, lamp.horizon") == "('Spec', 2)"
    assert shell.value("lamp.agent(seed=0).run(lamp.environment(seed=0), steps=2).steps[0].action")


def test_prompt_and_answer_are_on_disk(shell: Kernel) -> None:
    """Each request and answer is in the journal, in order, as is what was found (S3-49)."""
    answer(shell, "NO_PROBABILITY", "LAMP")
    outcome = shell.run(CELL)
    assert outcome.status == "ok", outcome.shown
    assert "attempt 1: " in outcome.shown
    assert "2 attempts" in outcome.shown
    kinds = [line["kind"] for line in journal(shell.folder)]
    assert kinds == ["PROMPT", "RESPONSE", "VERIFY"] * 2
    shell.run("%llmport log")
    pages = "".join(p.read_text("utf-8") for p in shell.folder.glob("llmport_log*.ipynb"))
    assert "wants to be bright" in pages
    assert "node state room" in pages


def test_what_passed_can_be_exported(shell: Kernel) -> None:
    """`%llmport log --pairs` writes each prompt with the answer that passed (S3-63)."""
    answer(shell, "NO_PROBABILITY", "LAMP")
    assert shell.run(CELL).status == "ok"
    written = shell.run("%llmport log --pairs pairs.jsonl --task gmn")
    assert "✓ pairs.jsonl · 1 pair" in written.shown
    (pair,) = map(json.loads, (shell.folder / "pairs.jsonl").read_text("utf-8").splitlines())
    assert "wants to be bright" in pair["messages"][-2]["content"]
    assert pair["messages"][-1] == {"role": "assistant", "content": GOOD}
    assert pair["metadata"]["attempt"] == 2
    assert "there already" in shell.run("%llmport log --pairs pairs.jsonl").error
    assert "--pairs FILE" in shell.run("%llmport log more").error


def test_no_valid_answer_fails_the_cell_in_one_line(shell: Kernel) -> None:
    """It fails with the first findings, the old binding stays, the answer is a draft (S3-25)."""
    made(shell)
    answer(shell, *["NO_PROBABILITY"] * 9)
    outcome = shell.run("%%gmn lamp --update --tries 2\nMake it worse.\n")
    assert outcome.status == "error"
    assert outcome.name == "GMNOutputError"
    assert "\n" not in outcome.error
    assert "no specification `lamp`: 2 answers" in outcome.error
    assert "`%gmn show lamp --draft`" in outcome.error
    assert shell.value("lamp.horizon, script.calls") == "(2, 3)"
    assert "0.6" in shell.run("%gmn show lamp --draft").shown
    assert "1 version" in shell.run("%gmn").shown


def test_limits_hold_for_the_answer(shell: Kernel) -> None:
    """An answer with more states than allowed is sent back, and `--type` counts (S3-24, S3-49)."""
    answer(shell, "line_of(12)", "line_of(4)")
    outcome = shell.run("%%gmn walker --max-states 5 --type explorer\nA line to walk.\n")
    assert outcome.status == "ok", outcome.shown
    assert shell.value("walker.factors[0].size, script.calls") == "(4, 2)"
    assert "at most 5" in shell.value("script.prompts[0]")
    answer(shell, "LAMP")
    shell.run("%%gmn seller --type trader\nSomebody who sells lamps.\n")
    assert shell.value("seller.agent_type") == "'trader'"


def test_a_written_text_is_checked_offline(shell: Kernel) -> None:
    """`--validate` takes a text and asks nobody; a wrong one fails the cell (S3-49)."""
    outcome = shell.run(f"%%gmn lamp --validate\n{GOOD}", cell_id="t1")
    assert outcome.status == "ok", outcome.shown
    assert "✓ lamp v1 · your text, taken · valid" in outcome.shown
    assert outcome.next_cell == ""
    assert "cell · by hand" in shell.run("%gmn show lamp").shown

    wrong = shell.run(f"%%gmn lamp --validate\n{NO_PROBABILITY}", cell_id="t1")
    assert wrong.status == "error"
    assert wrong.name == "GMNError"
    assert "line 5" in wrong.error
    assert "column" in wrong.error
    assert "v1 stays" in wrong.error
    assert shell.value("float(lamp.A[0][0][0]), script.calls") == "(0.9, 0)"
    spoilt = GOOD.replace("2, labels", "3, labels")
    several = shell.run(f"%%gmn lamp --validate\n{spoilt}")
    assert [f"line {line}, " in several.stdout for line in (2, 3, 4)] == [True] * 3
    assert "and 1 more" in several.error
    prose = shell.run("%%gmn other --validate\na lamp that wants to be bright\n")
    assert "reads like a prompt" in prose.error
    assert shell.value("'other' in globals()") == "False"


SEEING = """
from llmport_magic.llm import PROVIDER_CONFIG, BaseLLMConnector, LLMCapabilities, LLMResponse

got = []

class Seeing(BaseLLMConnector):
    capabilities = LLMCapabilities(vision=True)

    def __init__(self, api_key=None, model="eyes"):
        super().__init__()
        self.model = model

    async def complete(self, messages, **options):
        got.append([(str(m.role), m.content, [i.media_type for i in m.images]) for m in messages])
        return LLMResponse(LAMP)

PROVIDER_CONFIG["seeing"] = {"api_key_vars": [], "default_model": "eyes", "connector": Seeing}
"""


def test_a_picture_goes_to_a_model_that_sees(shell: Kernel) -> None:
    """`--image` sends a drawing to a model that takes pictures, and to no other (S3-64)."""
    (shell.folder / "map.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 64)
    (shell.folder / "map.svg").write_text("<svg/>", "utf-8")
    assert shell.run(SEEING).status == "ok"
    for line, says in {
        "--image none.png -p seeing": "cannot be read",
        "--image map.svg -p seeing": "SVG",
        "--image map.png": "takes no pictures",
    }.items():
        assert says in shell.run(f"%%gmn lamp {line}\nas drawn\n").error
    assert shell.value("got, script.calls") == "([], 0)"

    preview = shell.run("%%gmn lamp --image map.png -p seeing --preview\nas drawn\n")
    assert "with a picture: image/png, 72 bytes" in preview.shown
    outcome = shell.run("%%gmn lamp --image map.png -p seeing\n")
    assert outcome.status == "ok", outcome.shown
    assert "sends the picture: image/png, 72 bytes" in outcome.shown
    assert shell.value("[images for *_, images in got[0]][-1]") == "['image/png']"
    (prompt,) = [line for line in journal(shell.folder) if line["kind"] == "PROMPT"]
    assert "sha256" in json.dumps(prompt)
    again = shell.run("%%gmn lamp --image map.png -p seeing\n")
    assert "reused, 0 tokens" in again.shown
    (shell.folder / "map.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"1" * 64)
    assert "v2" in shell.run("%%gmn lamp --image map.png -p seeing\n").shown
    assert shell.value("len(got)") == "2"


def test_a_variable_is_not_overwritten(shell: Kernel) -> None:
    """A name that holds something else is refused before any call, in every way in (S3-49)."""
    shell.run("lamp = 5")
    for text in (CELL, f"%%gmn lamp --validate\n{GOOD}", "%gmn plot lamp", REFINE):
        outcome = shell.run(text)
        assert outcome.name == "UsageError", text
        assert "is a variable of this notebook (int)" in outcome.error
    assert shell.value("lamp, script.calls") == "(5, 0)"


def test_preview_and_draft_leave_nothing_behind(shell: Kernel) -> None:
    """`--preview` sends nothing; `--draft` sends, and stores and binds nothing (S3-49)."""
    preview = shell.run("%%gmn lamp --preview --max-states 7\nA lamp in {{ 1 + 1 }} rooms.\n")
    assert preview.status == "ok", preview.shown
    assert "A lamp in 2 rooms." in preview.shown
    assert "stored as a version of `lamp`" in preview.shown
    assert shell.value("script.calls") == "0"
    answer(shell, "LAMP")
    draft = shell.run("%%gmn lamp --draft\nA lamp.\n")
    assert draft.status == "ok", draft.shown
    assert "not stored · valid" in draft.shown
    assert "node state room" in draft.shown
    assert draft.next_cell == ""
    assert shell.value("script.calls, 'lamp' in globals()") == "(1, False)"
    assert list(shell.folder.glob("*.gmn")) == []


def test_an_interrupt_frees_the_cell(shell: Kernel) -> None:
    """An interrupt ends the cell in one line; the prompt is logged, nothing is bound (S3-49)."""
    answer(shell, "slow(LAMP, 200)")
    request = shell.start(CELL, cell_id="p1")
    wait_for_line(shell.folder, "PROMPT")
    shell.interrupt()
    outcome = shell.finish(request)
    assert outcome.status == "error"
    assert "Interrupted: nothing was written" in outcome.error
    assert shell.value("'lamp' in globals()") == "False"
    assert list(shell.folder.glob("*.gmn")) == []


def test_a_models_text_is_shown_as_text(shell: Kernel) -> None:
    """Control characters and markup of an answer do nothing: all that is shown is text (S3-49)."""
    described = "LAMP.replace('horizon: 2', 'horizon: 2, description: {}')"
    hidden, script = (described.format(text) for text in ('"a\\x1b[2Jb"', '"<script>1</script>"'))
    answer(shell, hidden, script)
    outcome = shell.run(CELL)
    assert outcome.status == "ok", outcome.shown
    assert "invisible character U+001B" in outcome.shown
    shown = outcome.shown + shell.run("%gmn show lamp").shown
    assert "\x1b[2J" not in shown
    assert "<script>1</script>" in shown


def test_help_lists_what_there_is(shell: Kernel) -> None:
    """`%%gmn?` shows the options, `%gmn help` the commands (S3-49)."""
    help_text = shell.run("%%gmn?")
    shown = json.dumps(help_text.payload)
    assert "--max-states" in shown
    assert "--validate" in shown
    assert "%gmn export NAME" in shell.run("%gmn help").shown
