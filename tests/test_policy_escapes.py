"""Known ways out of Python sandboxes, in our words: none reaches the kernel without consent."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernels import kernel

from llmport_magic.modules.policy.review import assess

# After what was published about smolagents' interpreter, RestrictedPython, and text templates.
KNOWN = {
    "classes of object": "def f():\n    return ().__class__.__base__.__subclasses__()[104]()\n",
    "classes through a list": (
        "def f():\n    return [c for c in [].__class__.__mro__[-1].__subclasses__()\n"
        "            if c.__name__ == 'Popen'][0](['id'])\n"
    ),
    "warnings' module": (
        "def f():\n    for c in object.__subclasses__():\n        if c.__name__ == "
        "'catch_warnings':\n            return c()._module.__builtins__\n"
    ),
    "globals of a method": "class A:\n    def m(self): ...\nX = A.m.__globals__['__builtins__']\n",
    "globals of a wrapper": "import os\ndef f():\n    return os.wrap_close.__init__.__globals__\n",
    "builtin of a function": "def f():\n    return f.__builtins__['__import__']('os')\n",
    "builtins module of print": "def f():\n    return print.__self__.__dict__['ev' 'al']('1')\n",
    "loader": "def f():\n    return __loader__.load_module('os').system('id')\n",
    "spec": "def f():\n    return __spec__.loader.load_module('posix').system('id')\n",
    "frame of a generator": (
        "def f():\n    g = (g.gi_frame.f_back.f_back for _ in [1])\n    return next(g).f_globals\n"
    ),
    "frame of a coroutine": "async def c(): ...\ndef f():\n    return c().cr_frame.f_builtins\n",
    "frame of an exception": (
        "def f():\n    try:\n        1 / 0\n    except ZeroDivisionError as e:\n"
        "        return e.__traceback__.tb_frame.f_back.f_globals\n"
    ),
    "frame of an AttributeError": (
        "def f():\n    try:\n        None.x\n    except AttributeError as e:\n"
        "        return e.__traceback__.tb_frame.f_back.f_locals\n"
    ),
    "format string": "def f(x):\n    return '{0.__init__.__globals__[SECRET]}'.format(x)\n",
    "format_map": "def f(x):\n    return '{a.__class__.__subclasses__}'.format_map({'a': x})\n",
    "template in pieces": "T = '{0.__glo' + 'bals__}'\ndef f(x):\n    return T.format(x)\n",
    "formatter": (
        "import string\ndef f(x):\n"
        "    return string.Formatter().get_field('0.__globals__', [x], {})\n"
    ),
    "modules of a module": (
        "import random\ndef f():\n    return random._os.fork()\nX = random._os.popen('id')\n"
    ),
    "module in a module": "import queue\nqueue.threading._os.system('id')\n",
    "import by a sibling": "import importlib\ndef f(n):\n    return importlib.import_module(n)\n",
    "file's loader": (
        "import importlib.machinery as m\ndef f(p):\n"
        "    return m.SourceFileLoader('x', p).load_module()\n"
    ),
    "type made anew": (
        "X = type('X', (), {'__class__': property(lambda s: s.__subclasses__)})\n"
        "def f():\n    return object.__subclasses__()\n"
    ),
    "decorators as calls": "@exec\n@input\nclass X: ...\n",
    "metaclass's item": (
        "class M(type):\n    __getitem__ = exec\nclass X(metaclass=M): ...\nX['import os']\n"
    ),
    "operator on a class": (
        "import os\nclass X:\n    def __init__(self): ...\n"
        "    __class_getitem__ = os.system\nX['id']\n"
    ),
    "code in an exception's text": (
        "class E(Exception):\n    def __add__(self, s):\n        return eval(s)\n"
        "def f():\n    return E() + 'open'\n"
    ),
    "comparison that runs": (
        "import subprocess\nclass X:\n    def __eq__(self, other):\n"
        "        return subprocess.run(['id'])\nY = X() == 1\n"
    ),
    "name in other letters": (
        "def f(x):\n    return getattr(x, '__GLOBALS__'.lower() + '')\n"
    ),
    "name out of numbers": (
        "def f(x):\n    return getattr(x, ''.join(map(chr, [95, 95, 103])))\n"
    ),
    "name turned round": "def f(x):\n    return getattr(x, '__slabolg__'[::-1])\n",
    "attribute getter": (
        "import operator\ndef f(x):\n    return operator.attrgetter('__globals__')(x)\n"
    ),
    "pickled call": "import pickle\nX = pickle.loads(b'cos\\nsystem\\n(Vid\\ntR.')\n",
    "memory": "import ctypes\ndef f(a):\n    return ctypes.cast(a, ctypes.py_object).value\n",
    "codecs": "import codecs\nexec(codecs.decode('vzcbeg bf', 'rot13'))\n",
    "class change": (
        "import types\nclass M(types.ModuleType): ...\nimport json\njson.__class__ = M\n"
    ),
    "hook": "import sys\ndef f(g):\n    sys.settrace(g)\n",
    "patched builtin": "import builtins\nbuiltins.open = lambda *a: None\n",
    "patched module": "import json, os\njson.loads = os.system\n",
}  # fmt: skip


def test_at_least_28_of_30_known_escapes_are_found() -> None:
    """Of the known ways out, hardly any passes for clean: as many as 28 of 30 are found (V62)."""
    clean = [name for name, source in KNOWN.items() if assess(source).outcome == "clean"]

    assert len(KNOWN) >= 30
    assert len(clean) <= len(KNOWN) * 2 // 30, clean


@pytest.mark.parametrize("name", KNOWN)
def test_known_escape_is_ordinary_python(name: str) -> None:
    """Each is a module that Python would compile, so that it is the policy that stops it (V62)."""
    compile(KNOWN[name], name, "exec")


_SCRIPT = """
from scripted import fenced, scripted
held = scripted(*map(fenced, {answers!r}))
script = held.__enter__()
"""
_ADDED = '\n\ndef area(r):\n    """Area."""\n    return 3 * r\n'


@pytest.mark.kernel
@pytest.mark.skipif("sys.platform == 'win32'", reason="the traces are POSIX's")
def test_no_escape_reaches_the_kernel(tmp_path: Path) -> None:
    """What a model answers to get out is not registered, and leaves nothing in the kernel (V62)."""
    names = ["globals of a method", "modules of a module", "decorators as calls", "patched module",
             "format string", "classes of object"]  # fmt: skip
    answers = [KNOWN[name] + _ADDED for name in names]
    with kernel(tmp_path, LLMPORT_TRIES="1", LLMPORT_PROVIDER="scripted") as running:
        running.run(_SCRIPT.format(answers=answers))
        for number in range(len(names)):
            outcome = running.run(f"%%llmport shape{number}\nThe area of a shape.")
            held = "--hold" in outcome.next_cell
            assert held or outcome.status == "error", (names[number], outcome.shown)
            assert running.value(f"'shape{number}' in __import__('sys').modules") == "False"
            assert not (tmp_path / f"shape{number}.py").exists()
        asked = running.value("script.calls")
        loads = running.value("__import__('json').loads('1')")
        imports = running.run("import shape0")

    assert asked == str(len(names))
    assert loads == "1"
    assert imports.name == "ModuleNotFoundError"
