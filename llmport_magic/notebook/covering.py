"""What of a cell stays here when it is sent, and its way back into the corrected cell.

Keys and the name of the home folder are masked, and the notebook's own commands (`%time`, `!ls`)
become comments, so that a model reads plain Python and the check can.
"""

from __future__ import annotations

import re
from pathlib import Path

from llmport_magic.notebook.visible import without_secrets
from llmport_magic.secrets import MASK

_COMMAND = re.compile(
    r"^(\s*)((?:[\w, ]+=\s*)?(?:%{1,2}[A-Za-z]|!(?!=)\S).*|\?{1,2}[\w%].*|[%\w.*]+\?{1,2})\s*$"
)
_COVERED = re.compile(r"^(\s*)(?:pass\s+)?# notebook: (.*)$")
_AWAY = "/home/user"


def private(text: str) -> str:
    """Give a text without keys, passwords and the name of the home folder."""
    home = str(Path.home())
    masked, _ = without_secrets(text)
    return masked.replace(home, _AWAY) if len(home) > 1 else masked


class Covered:
    """A cell as it is sent.

    Args:
        source: the cell's text.

    Attributes:
        text: what is sent of it.
        masked: whether a key or a password is masked in it.
    """

    def __init__(self, source: str) -> None:
        lines = source.split("\n")
        from llmport_magic.llm.registry import provider_rows

        # Every provider's key is looked up for that: only what is known can be masked.
        provider_rows()
        sent = [_command_as_comment(line) for line in private(source).split("\n")]
        self.text = "\n".join(sent)
        self.masked = without_secrets(source)[1]
        self._lines = {
            covered.strip(): line.strip()
            for covered, line in zip(sent, lines, strict=False)
            if covered != line
        }

    def uncover(self, answer: str) -> str:
        """Put back into a corrected cell what was not sent."""
        return "\n".join(map(self._uncovered, answer.split("\n")))

    def _uncovered(self, line: str) -> str:
        bare = line.strip()
        indent = line[: len(line) - len(line.lstrip())]
        if bare in self._lines:
            return indent + self._lines[bare]
        line = _COVERED.sub(r"\1\2", line)
        home = str(Path.home())
        return line.replace(_AWAY, home) if len(home) > 1 else line

    def lost(self, corrected: str) -> bool:
        """Tell whether a corrected cell still has a mask in the place of a key."""
        return self.masked and MASK in corrected


def _command_as_comment(line: str) -> str:
    found = _COMMAND.match(line)
    if found is None:
        return line
    # A block must not lose its only statement.
    return f"{found[1]}{'pass  ' if found[1] else ''}# notebook: {found[2]}"
