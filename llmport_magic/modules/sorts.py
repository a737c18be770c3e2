"""What the store keeps: modules and specifications, with their files and what they are called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """One sort of texts; each has a store of its own.

    Attributes:
        noun: what one of them is.
        suffix: of the file that holds the current text.
        folder: where the versions lie, under `.llmport/`.
        drafts: where answers lie that did not pass.
        verdicts: where this user's own statements lie, under `.llmport/cache/`.
        language: what its text is written in.
        magic: the cell magic that makes one of a prompt.
        command: the line magic that looks at them.
        listing: the command that lists them.
        text: what their text is.
        adopted: what happens to a file of the user's own.
    """

    noun: str
    suffix: str
    folder: str
    drafts: str
    verdicts: str
    language: str
    magic: str
    command: str
    listing: str
    text: str
    adopted: str


MODULE = Sort(
    noun="module",
    suffix=".py",
    folder="modules",
    drafts="drafts",
    verdicts="verdicts",
    language="Python",
    magic="%%llmport",
    command="%llmport",
    listing="%llmport modules",
    text="code",
    adopted="imported",
)
SPECIFICATION = Sort(
    noun="specification",
    suffix=".gmn",
    folder="gmn",
    drafts="gmn-drafts",
    verdicts="gmn-verdicts",
    language="GMN",
    magic="%%gmn",
    command="%gmn",
    listing="%gmn",
    text="text",
    adopted="taken",
)
