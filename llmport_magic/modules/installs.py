"""What an answer says to install: it is read, never run, and what nobody knows is flagged."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmport_magic.modules.packages import is_known_distribution

_INSTALLERS = r"(?:pip3?|pipx|mamba|conda|uv|poetry|pdm)[ \t]+(?:pip[ \t]+)?(?:install|add)[ \t]+"
_INSTALL = re.compile(
    # As code, all of its words; in a sentence, the first one.
    rf"`[ \t$!%]*{_INSTALLERS}(?P<quoted>[^`\n]+)"
    rf"|^[ \t$!%#>]*(?:python3?[ \t]+-m[ \t]+)?{_INSTALLERS}(?P<line>[^\n`;&|#]+)"
    rf"|\b{_INSTALLERS}(?P<prose>[^\s`]+)",
    re.MULTILINE,
)
_REQUIREMENT = re.compile(r"(?!-)[A-Za-z0-9][\w.-]*")
_FILE_FOLLOWS = frozenset({"-r", "-c", "-e", "-f", "-i", "--requirement", "--index-url"})
_PLAIN_WORDS = frozenset({"a", "all", "any", "it", "the", "them", "these", "this", "those"})


def unknown_installs(text: str) -> tuple[str, ...]:
    """Find the distributions that a text says to install and that nobody here knows.

    Args:
        text: an answer, prose and code; it is read, never run.
    """
    named = [name for command in _INSTALL.finditer(text) for name in _requirements(command)]
    return tuple(dict.fromkeys(name for name in named if not is_known_distribution(name)))


def install_notices(text: str) -> tuple[str, ...]:
    """Say what to know of the packages that an answer says to install; nothing of known ones."""
    named = "`, `".join(unknown_installs(text)[:5])
    notice = (
        f"the answer says to install `{named}`, not known to llmport: it may not exist or be "
        "somebody's trap; nothing was installed"
    )
    return (notice,) if named else ()


def _requirements(command: re.Match[str]) -> Iterator[str]:
    before = ""
    for word in (command["quoted"] or command["line"] or command["prose"]).split():
        bare = word.strip("'\"(),:.")
        if bare in _PLAIN_WORDS:
            return
        found = _REQUIREMENT.match(bare)
        if found and before not in _FILE_FOLLOWS:
            yield found[0]
        if word.endswith("."):
            return
        before = word
