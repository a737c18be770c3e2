"""The one display of a cell: the answer as it streams, then a record that stays.

Text only: a model's answer shown as HTML or Markdown could run script in the page.
"""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Any

from llmport_magic.progress import (
    Checked,
    Checking,
    Drafted,
    Kept,
    Left,
    Noted,
    PipelineEvent,
    Selected,
    Spent,
    Started,
    Stored,
    Text,
    Told,
)
from llmport_magic.secrets import redact

if TYPE_CHECKING:
    from llmport_magic.api import Made
    from llmport_magic.modules.verdict import Verdict
    from llmport_magic.registration import Registered

# What is going on; it ends with an ellipsis, which a panel takes away when that is over.
RECALLING = "running the examples of before …"
NOT_ALL_RUN = "not all examples of before were run"
# Said of code that does more than define things, where it is not registered anyway.
READ_FIRST = "read it before you run it"
# Front ends queue updates and never drop one: more than this and the display falls behind.
_SECONDS_BETWEEN = 0.1
_MOST_LINES = 30
_MOST_CHARACTERS = 20_000
# Half a pair of surrogates cannot be sent to a front end at all.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class CellInterrupted(KeyboardInterrupt):
    """The user interrupted a cell; shown in one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"Interrupted: {self}"]


def say(*lines: str) -> None:
    """Print what a line magic was asked for."""
    print("\n".join(lines))  # noqa: T201 - below the cell


class CellDisplay:
    """Shows what the pipeline tells, in a notebook by updating one display, else as text.

    Args:
        shell: IPython's shell, or `None` outside of it.
        name: what is being made.
        prose: whether the answer is to be read: then it stays above the record.

    Attributes:
        kept: what is in the store by now, and how far it has come.
    """

    def __init__(self, shell: Any, name: str, *, prose: bool = False) -> None:
        self._name = name
        self._prose = prose
        self._terminal = shell is None or not hasattr(shell, "kernel")
        self._handle: Any = None
        self._shown_at = 0.0
        self._behind = False
        self._head = ""
        self._answer = ""
        self._rows: list[str] = []
        self.kept: Kept | Stored | None = None

    def show(self, event: PipelineEvent) -> None:
        """Show one event."""
        if isinstance(event, (Kept, Stored)):
            self.kept = event
        if isinstance(event, Started):
            again = f" · attempt {event.attempt}" if event.attempt > 1 else ""
            who = f"{event.provider} {redact(event.model)}"
            self._head = f"{self._name} ← {who}{again} ({event.why})"
            self._answer = ""
            self._update(force=True, terminal=self._head + "\n")
        elif isinstance(event, Text):
            # A model's escape codes could move the cursor and write over what stands there.
            text = _CONTROLS.sub("", event.text)
            self._answer += text
            self._update(terminal=text)
        elif isinstance(event, Checking):
            self._update(force=True, tail="checking …", terminal="\nchecking …\n")
        elif isinstance(event, Kept):
            self._update(force=True, tail=RECALLING, terminal=f"{RECALLING}\n")
        elif isinstance(event, Checked) and event.verdict.proof == "failed":
            found = event.verdict.findings[:1] or ("no module in the answer",)
            told = [f"  attempt {event.attempt}: {found[0]}"]
            if event.verdict.seen:
                told.append(f"    only you see this: {event.verdict.seen}")
            self._rows += told
            self._update(force=True, terminal="\n".join(told) + "\n")
        elif isinstance(event, Noted):
            self._rows.append(f"  {event.text}")
            self._update(terminal=self._rows[-1] + "\n")

    def catch_up(self) -> None:
        """Show what a beat kept back, as nothing else arrives."""
        if self._behind:
            self._update(force=True)

    def finish(self, *lines: str) -> None:
        """Replace what was streaming by the record of what happened."""
        text = "\n".join([*lines[:1], *self._rows, *lines[1:]])
        if self._terminal:
            above = "\n\n" if self._prose and self._answer else ""
            print(above + "\n".join(lines))  # noqa: T201 - the rows were printed as they came
            return
        answer = self._answer.strip()
        self._publish(f"{answer}\n\n{text}" if self._prose and answer else text)

    def broke_off(self, why: str) -> None:
        """Say why there is no result; what had arrived is in the log."""
        if self._handle is not None or self._terminal:
            kept = len(self._answer)
            arrived = f" · {kept:,} characters had arrived, they are in the log" if kept else ""
            self.finish(f"✗ {self._name} · {why}{arrived}")

    def _update(self, *, force: bool = False, tail: str = "", terminal: str = "") -> None:
        if self._terminal:
            sys.stdout.write(terminal)
            sys.stdout.flush()
            return
        now = time.monotonic()
        # The first words are shown at once, the rest in beats.
        self._behind = not force and now - self._shown_at < _SECONDS_BETWEEN
        if self._behind:
            return
        self._shown_at = now
        lines = self._answer[-_MOST_CHARACTERS:].splitlines()
        above = [f"  … {len(lines) - _MOST_LINES} lines above"] if len(lines) > _MOST_LINES else []
        body = ["  " + line for line in lines[-_MOST_LINES:]]
        self._publish("\n".join(filter(None, [self._head, *self._rows, *above, *body, tail])))

    def _publish(self, text: str) -> None:
        from IPython.display import display

        bundle = {"text/plain": text.encode("utf-8", "replace").decode("utf-8")}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def spent_line(spent: Spent, provider: str | None, model: str | None) -> str:
    """Say who answered and what it took: `groq llama · 1 attempt · 310 + 120 tokens · 2.1 s`."""
    who = redact(f"{provider} {model}")
    parts = [who, f"{spent.attempts} attempt{'s' if spent.attempts > 1 else ''}"]
    if spent.cached:
        parts.append("cached" if spent.cached == spent.attempts else f"{spent.cached} cached")
    about = "about " if spent.estimated else ""
    parts.append(f"{about}{spent.prompt_tokens:,} + {spent.completion_tokens:,} tokens")
    parts.append(f"{spent.seconds:.1f} s")
    if spent.cost is not None:
        parts.append("free" if spent.cost == 0 else f"${spent.cost:.4f}")
    return " · ".join(parts)


def made_lines(made: Made, name: str, *, show_code: bool = False) -> list[str]:
    """Give the record of a prompt cell that ended well.

    Args:
        made: how the run ended.
        name: the module's name, or what stands for it.
        show_code: whether the code belongs into the record, as no cell will hold it.
    """
    event = made.event
    if isinstance(event, Left):
        return [f"· {event.text}"]
    if isinstance(event, Drafted):
        proof = event.verdict.line(asks=READ_FIRST)
        # A plain cell's proof is that it was not run.
        kept = "" if proof.startswith("not run") else "not stored, not run · "
        kept = "not stored · " if event.verdict.summary else kept
        lines = [
            f"✓ {name} · {kept}{proof}",
            f"  {spent_line(event.spent, event.provider, event.model)}",
        ]
        lines += [f"  {event.verdict.tried}"] if event.verdict.tried else []
        lines += [f"  {finding}" for finding in event.verdict.findings[:5]]
        return [*lines, "", event.source.rstrip()] if show_code else lines
    if isinstance(event, Told):
        return [f"✓ {name}", f"  {spent_line(event.spent, event.provider, event.model)}"]
    version = event.version
    proof = event.verdict.line(allowed=not made.held, asks="") if event.verdict else ""
    if isinstance(event, Selected):
        lines = [f"{_mark(event.verdict)} {name} v{version.number} · reused, 0 tokens · {proof}"]
    else:
        lines = [
            f"✓ {name} v{version.number} · {proof}",
            f"  {spent_line(event.spent, version.provider, version.model)}",
        ]
        # What was tried when a stored version was made says nothing about the data of today.
        lines += [f"  {event.verdict.tried}"] if event.verdict.tried else []
    if made.held:
        lines[0] = f"· {name} v{version.number} · needs your consent, not registered · {proof}"
        findings = event.verdict.findings if event.verdict else ()
        lines += [f"  {finding}" for finding in findings[:5]]
        lines.append("  read the cell below; delete `--hold` in its first line and run it to agree")
    if made.registered is not None:
        lines += register_lines(made.registered, None, edited=False)[1:]
    return [*lines, "", version.source.rstrip()] if show_code else lines


def _mark(verdict: Verdict | None) -> str:
    # A text of the user's own is taken whatever its examples say.
    return "✗" if verdict is not None and verdict.proof == "failed" else "✓"


def register_lines(registered: Registered, verdict: Verdict | None, *, edited: bool) -> list[str]:
    """Say what registering a version changed in the notebook, and what its check came to."""
    proof = verdict.line(allowed=True) if verdict else ""
    version, report = registered.version, registered.report
    what = "your edit, registered" if edited else "registered" if report else "current"
    head = f"{_mark(verdict)} {version.name} v{version.number} · {what}"
    lines = [f"{head} · {proof}" if proof else head]
    if report is not None:
        lines += [f"  {line}" for line in report.lines()]
    return lines
