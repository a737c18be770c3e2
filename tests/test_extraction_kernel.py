"""A real kernel outlives whatever an answer does to Python's parser."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernels import kernel

pytestmark = pytest.mark.kernel

# Each as Python, so that megabytes need not be sent to the kernel.
BOMBS = {
    "sum": "'x = ' + '1+' * 49_000 + '1\\n'",
    "attributes": "'x = a' + '.b' * 40_000 + '\\n'",
    "negations": "'x = ' + '-' * 90_000 + '1\\n'",
    "brackets": "'x = ' + '(' * 90 + ')' * 90 + '\\n' + '(' * 50_000",
    "brackets in an f-string": '\'x = f"{\' + "(" * 40_000 + ")" * 40_000 + \'}"\\n\'',
    "lambdas": "'x = ' + 'lambda:' * 13_000 + '1\\n'",
    "elif": "'if a:\\n  pass\\n' + 'elif a:\\n  pass\\n' * 9_000",
    "comparisons": "'x = ' + 'a<' * 45_000 + 'a\\n'",
    "calls": "'x = a' + '()' * 45_000 + '\\n'",
    "decorators": "'@a\\n' * 19_000 + 'def f(): ...\\n'",
    "texts side by side": "'x = ' + '\"\"' * 45_000 + '\\n'",
    "one long number": "'x = ' + '9' * 90_000 + '\\n'",
    "NUL": "'x = 1\\n\\0\\n'",
    "surrogate": "'x = \"\\ud800\"\\n'",
    "too large": "'x = 1\\n' * 300_000",
    "text without an end": "'x = \\'\\'\\'' + 'a\\\\' * 45_000",
    "fences": "'```python\\nx = (\\n```\\n' * 5_000",
    "indents": "''.join(' ' * i + 'if a:\\n' for i in range(99)) + ' ' * 99 + 'pass\\n'",
}
SETUP = """
from scripted import fenced, scripted
from llmport_magic import configure
configure(provider="scripted", tries=1)
manager = scripted()
script = manager.__enter__()
"""


def test_no_answer_ends_the_kernel(tmp_path: Path) -> None:
    """After answers made to break the parser the kernel is alive, and nothing came of them (S0-43).

    A text that this Python reads may become a module; what matters is that the kernel says so.
    """
    with kernel(tmp_path / "work") as running:
        assert running.run(SETUP).status == "ok"
        process = running.value("__import__('os').getpid()")
        for number, (name, bomb) in enumerate(BOMBS.items()):
            running.run(f"script.answers[:] = [fenced({bomb})]")
            outcome = running.run(f"%%llmport bomb{number}\nA module.\n", timeout=120)
            refused = outcome.status == "error" and "\n" not in outcome.error
            assert refused or (tmp_path / "work" / f"bomb{number}.py").exists(), name
            assert running.value("__import__('os').getpid()") == process, name
        assert running.value("script.calls") == str(len(BOMBS))
