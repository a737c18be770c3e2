"""Effects at import and ways into the interpreter are found; ordinary code is left alone."""

from __future__ import annotations

import pytest
from ordinary_modules import ORDINARY

from llmport_magic.errors import VerificationError
from llmport_magic.modules import gate
from llmport_magic.modules.policy.review import assess


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_module_is_clean(name: str) -> None:
    """Code that does its work when it is called is nothing to ask about (S0-43)."""
    report = assess(ORDINARY[name])

    assert report.findings == ()
    assert report.outcome == "clean"


ESCAPES = [
    "().__class__.__bases__[0].__subclasses__()",
    "''.__class__.__mro__[1].__subclasses__()",
    "def f():\n    return (lambda: 0).__globals__['__builtins__']",
    "def f(x):\n    return x.__init__.__globals__",
    "def f():\n    return __builtins__['eval']('1')",
    "def f():\n    return __builtins__.open('/etc/passwd')",
    "def f():\n    return __import__('os').system('id')",
    "def f(n):\n    return __import__(n)",
    "import importlib\ndef f(n):\n    return importlib.import_module(n)",
    "import sys\ndef f():\n    return sys.modules['os'].system('id')",
    "def f(s):\n    return eval(s)",
    "def f(s):\n    exec(s)",
    "def f(s):\n    e = eval\n    return e(s)",
    "def f(s):\n    return list(map(eval, [s]))",
    "import builtins\ndef f(s):\n    return builtins.eval(s)",
    "import builtins\ndef f(s):\n    return getattr(builtins, 'ev' + 'al')(s)",
    "def f(x):\n    return getattr(x, '__glo' + 'bals__')",
    "def f(x):\n    return getattr(x, ''.join(['__glo', 'bals__']))",
    "def f(x):\n    return '{0.__class__.__init__.__globals__}'.format(x)",
    "from operator import attrgetter\nf = attrgetter('__class__.__subclasses__')",
    "def f(e):\n    return e.__traceback__.tb_frame.f_back.f_globals",
    "def f():\n    g = (x for x in [1])\n    return g.gi_frame.f_back",
    "import sys\ndef f():\n    return sys._getframe(1).f_locals",
    "import inspect\ndef f():\n    return inspect.currentframe().f_back",
    "import gc\ndef f():\n    return gc.get_objects()",
    "def f():\n    f.__code__ = (lambda: 1).__code__",
    "import types\ndef f(c):\n    return types.FunctionType(c, {})",
    "import ctypes\ndef f():\n    return ctypes.string_at(0)",
    "import ctypes\ndef f():\n    ctypes.pythonapi.Py_Exit(0)",
    "import marshal\ndef f(b):\n    return marshal.loads(b)",
    "import os\nos.system('id')",
    "from os import system as s\ns('id')",
    "import os as o\nf = o.system\nf('id')",
    "import os\ngetattr(os, 'system')('id')",
    "import os\nvars(os)['system']('id')",
    "import os\nos.__dict__['system']('id')",
    "import subprocess\nsubprocess.run(['id'])",
    "import subprocess\ndef go():\n    subprocess.run(['id'])\ngo()",
    "import subprocess\nclass A:\n    def __init__(self):\n        subprocess.run(['id'])\nx = A()",
    "import subprocess as s\nclass A:\n    def __init_subclass__(cls):\n        s.run(['id'])",
    "import subprocess\nclass A:\n    subprocess.run(['id'])",
    "import subprocess\ndef go(f):\n    subprocess.run(['id'])\n@go\ndef g(): ...",
    "import subprocess\ndef f(x=subprocess.run(['id'])): ...",
    "import subprocess\ndef go():\n    subprocess.run(['id'])\nT = {'a': go}\nT['a']()",
    "import subprocess\ndef go():\n    subprocess.run(['id'])\nh = go\nh()",
    "import subprocess\nlist(map(subprocess.run, [['id']]))",
    "import subprocess\n(lambda: subprocess.run(['id']))()",
    "import subprocess\nif __name__ != '__main__':\n    subprocess.run(['id'])",
    "open('x', 'w').write('y')",
    "DATA = open('/etc/passwd').read()",
    "from pathlib import Path\nPath('x').write_text('y')",
    "import shutil\nshutil.rmtree('/home')",
    "import os\nos.remove('x')",
    "import pickle\npickle.loads(b'x')",
    "import requests\nrequests.get('http://example.org')",
    "import socket\ns = socket.socket()",
    "import urllib.request\nurllib.request.urlopen('http://example.org')",
    "import builtins\nbuiltins.print = None",
    "import sys\nsys.modules['json'] = None",
    "import sys\nsys.path.insert(0, '/tmp')",
    "import sys\nsys.stdout = None",
    "import os\nos.environ['PATH'] = ''",
    "import os\nos.chdir('/')",
    "import threading\nthreading.Thread(target=print).start()",
    "import atexit\natexit.register(print)",
    "import json\njson.dumps = lambda x: x",
    "get_ipython().system('id')",
    "def f():\n    return get_ipython().user_ns",
    "from IPython import get_ipython\ndef f():\n    return get_ipython()",
    "import __main__",
    "from os import *",
    "from nobody_knows_this import *",
    "def f():\n    return globals()['__builtins__']",
    "def f(n):\n    return globals()[n]()",
    "import os\ndef f():\n    os._exit(0)",
    "import os\ndef f():\n    os.kill(os.getpid(), 9)",
    "import os\ndef f():\n    return os.fork()",
    "import sys\nsys.exit()",
    "exit()",
    "x = input()",
    "eval('1')\ndef eval(x): ...",
    "def f(x):\n    x.__class__ = int",
    "import code\ndef f():\n    code.interact()",
    "import random\nrandom._os.system('ls')",
    "from random import _os\n_os.system('ls')",
    "import logging\nlogging.os.system('x')",
    "import queue\nqueue.threading.sys.modules['os'].system('ls')",
    "import doctest\ndoctest.inspect.os.system('x')",
    "import statistics\nstatistics.sys.exit()",
    "import os\n[os.system][0]('x')",
    "import os\nfor f in [os.system]: f('x')",
    "import os\nglobals()['os'].system('x')",
    "import os\n(lambda f: f('x'))(os.system)",
    "import os, functools\nfunctools.partial(os.system, 'x')()",
    "import operator\noperator.methodcaller('system', 'x')(__import__('os'))",
    "import os\nclass M(type):\n    def __new__(m): os.abort()\nclass B(metaclass=M): ...",
    "import os\nwith os.popen('x') as f: pass",
    "import asyncio, os\nasync def m():\n    os.system('x')\nasyncio.run(m())",
    "import os\ndef f(a: os.system('x')): ...",
    "import os\n@os.system\ndef f(): ...",
    "import os\nf'{os.system(1)}'",
    "import runpy\ndef f(p):\n    runpy.run_path(p)",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_dangerous_code_is_found(source: str) -> None:
    """An escape or an effect at import needs consent or is refused, with its line (S0-43)."""
    report = assess(source)

    assert report.outcome in {"ask", "refuse"}
    assert all(found.line >= 1 and "\n" not in str(found) for found in report.findings)


@pytest.mark.parametrize(
    ("source", "outcome", "line"),
    [
        ("x = 1\n\n().__class__.__subclasses__()\n", "refuse", 3),
        ("import os\nos.system('x')\n", "refuse", 2),
        ("x = 1\nopen('f', 'w')\n", "ask", 2),
        ("def f(s):\n    return eval(s)\n", "ask", 2),
    ],
)
def test_finding_has_its_line_and_weight(source: str, outcome: str, line: int) -> None:
    """What the user may allow is asked, what leads out is refused; the line is named (S0-43)."""
    report = assess(source)

    assert report.outcome == outcome
    assert line in {found.line for found in report.findings}


@pytest.mark.parametrize(
    ("source", "labels"),
    [
        (ORDINARY["requests"], {"network"}),
        (ORDINARY["files when called"], {"files", "deletes files"}),
        (ORDINARY["subprocess when called"], {"processes"}),
        (ORDINARY["environment"], {"environment"}),
        (ORDINARY["circle"], set()),
        (ORDINARY["torch"], set()),
    ],
)
def test_what_code_can_do_is_a_label(source: str, labels: set[str]) -> None:
    """What code can do when it is called is shown as a label, and is no finding (S0-43)."""
    assert set(assess(source).labels) == labels


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "+".join(["1"] * 3000) + "\n",
        "x = y" + ".a" * 3000 + "\n",
        "if 1:\n    pass\n" + "elif 2:\n    pass\n" * 500,
        "x = " + "(lambda: " * 80 + "1" + ")" * 80 + "\n",
    ],
)
def test_depth_is_no_way_around(source: str) -> None:
    """Deep code is walked like any other, or refused by a Python that cannot read it (S0-43)."""
    source += "import os\nos.system('id')\n"
    try:
        compile(source, "x", "exec")
    except RecursionError:
        with pytest.raises(VerificationError, match="nested too deeply"):
            gate.parse_module(source)
        return

    assert assess(source).outcome == "refuse"
