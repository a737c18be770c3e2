"""What is asked of the pipeline, and what it tells while it works: frozen values only."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from llmport_magic.modules.sorts import MODULE, SPECIFICATION, Sort

if TYPE_CHECKING:
    from llmport_magic.gmn.writing.prompting import Wish
    from llmport_magic.llm.reply import LLMResponse
    from llmport_magic.modules.trial.samples import Samples
    from llmport_magic.modules.verification import Verdict
    from llmport_magic.modules.version import Version
    from llmport_magic.settings import Settings

Purpose: TypeAlias = Literal["module", "cell", "fix", "explanation", "specification"]


@dataclass(frozen=True, slots=True)
class Described:
    """What `--with` names, as it is said to a model.

    Attributes:
        text: what is sent.
        sent: what is sent of each item in a few words, for the user: `df: 7 columns, no rows sent`.
        notes: what was left out, masked or written out.
        tokens: how many tokens the text has, as estimated.
    """

    text: str = ""
    sent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleRequest:
    """What somebody asks for.

    Attributes:
        name: the module's name; `None` asks for a plain code cell.
        purpose: a module or a plain cell, as `name` says, unless it is given: a corrected cell, or
            an explanation in prose, or a specification of an agent.
        prompt: the prompt, with its `{{ }}` filled in.
        settings: everything resolved, the cell's own options included.
        options: the cell's own options that shape the answer; part of the version's key.
        update: change the current version instead of writing a new module.
        regenerate: call although a version of this prompt is stored.
        draft: call and check, but neither store nor register.
        context: what the user named with `--with`, described for the model.
        describe: gives `context` where it is not there yet; called when somebody is to be asked.
        digests: what `--with` names, each with a digest of what is said about it; kept with the
            version, to tell later that it has changed.
        code: the cell that fails, or the source that is to be explained.
        error: the error that a fix or an explanation is about, as it is sent.
        wish: what a specification is to be like.
        cell_id: the id of the prompt cell, where the front end gives one.
        user_names: names in the user's namespace, which examples must not rely on.
        variables: those of them that `--with` names; examples may use them, and run on copies.
        copied: those of these that are data: of them copies are taken.
        samples: takes copies of these variables, to try an answer on; called once at most, when
            an answer is to be checked.
        linked: gives the version ids that the notebook's own cells of this module name.
        run: the id under which the log keeps everything that this request causes.
    """

    name: str | None
    prompt: str
    settings: Settings
    purpose: Purpose | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    update: bool = False
    regenerate: bool = False
    draft: bool = False
    context: str = ""
    describe: Callable[[], Described] | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    error: str = ""
    wish: Wish | None = None
    cell_id: str | None = None
    user_names: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()
    copied: frozenset[str] = frozenset()
    samples: Callable[[], Samples] | None = None
    linked: Callable[[], frozenset[str]] | None = None
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        if self.purpose is None:
            object.__setattr__(self, "purpose", "module" if self.name is not None else "cell")

    @property
    def sort(self) -> Sort:
        """What is made: that decides which store has it."""
        return SPECIFICATION if self.purpose == "specification" else MODULE


@dataclass(frozen=True, slots=True)
class Started:
    """A request is about to be sent."""

    provider: str
    model: str
    why: str
    attempt: int
    style: str


@dataclass(frozen=True, slots=True)
class Text:
    """Some text of the answer has arrived; secrets are redacted."""

    text: str


@dataclass(frozen=True, slots=True)
class Checking:
    """The answer is whole and is being checked."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Checked:
    """The check has a verdict."""

    attempt: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Kept:
    """A new version is in the store; what it does to the examples of before is looked at next."""

    stored: Stored


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that the user should be told.

    Attributes:
        text: what, in one line.
        warns: whether a script, which has no cell to show it below, warns of it.
    """

    text: str
    warns: bool = True


@dataclass(frozen=True, slots=True)
class Selected:
    """A stored version stands for the cell; no model was called."""

    version: Version
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Left:
    """Nothing was done, and why: the module cell below has the code, or the file is foreign."""

    text: str
    foreign_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has cost so far; `cached` of its answers were kept from earlier runs."""

    attempts: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    seconds: float = 0.0
    cost: float | None = None

    def plus(self, response: LLMResponse, cost: float | None, seconds: float) -> Spent:
        """Add one answer; the cost stays unknown once one price is."""
        known = cost is not None and (self.cost is not None or not self.attempts)
        if response.metadata.get("cached"):
            return replace(
                self,
                attempts=self.attempts + 1,
                cached=self.cached + 1,
                seconds=seconds,
                cost=self.cost or 0.0 if known else None,
            )
        return Spent(
            attempts=self.attempts + 1,
            cached=self.cached,
            prompt_tokens=self.prompt_tokens + response.usage["prompt_tokens"],
            completion_tokens=self.completion_tokens + response.usage["completion_tokens"],
            estimated=self.estimated or bool(response.metadata.get("usage_estimated")),
            seconds=seconds,
            cost=(self.cost or 0.0) + cost if known and cost is not None else None,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer that was taken, and what it took."""

    source: str
    verdict: Verdict
    spent: Spent
    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A new version is in the store; it is not registered yet."""

    version: Version
    verdict: Verdict
    spent: Spent


@dataclass(frozen=True, slots=True)
class Drafted:
    """An answer that is neither stored nor registered: a draft, or a plain code cell."""

    source: str
    verdict: Verdict
    spent: Spent
    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class Told:
    """An answer in prose, secrets redacted, and who gave it."""

    text: str
    spent: Spent
    provider: str
    model: str


PipelineEvent: TypeAlias = (
    Started | Text | Checking | Checked | Kept | Noted | Selected | Left | Stored | Drafted | Told
)
