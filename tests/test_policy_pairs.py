"""Beside everything that the policy lets pass stands the attack that looks like it."""

from __future__ import annotations

# ruff: noqa: E501 - a line is some lines of a module
import pytest

from llmport_magic.modules.policy.review import assess

# What passes, and what must not: the same construct, used to get out or to act at import.
PAIRS: dict[str, tuple[str, str]] = {
    "script that asks for more": (
        (
            "import os, sys\nif sys.platform != 'win32' and __name__ == '__main__':\n"
            "    os.system('id')\n"
        ),
        (
            "import os, sys\nif sys.platform != 'win32' or __name__ == '__main__':\n"
            "    os.system('id')\n"
        ),
    ),
    "name made with a pattern": (
        "def f(x, n):\n    return getattr(x, 'is_%s' % n)\n",
        "def f(x, n):\n    return getattr(x, '__%s__' % n)\n",
    ),
    "import of a name that stands there": (
        "def f(x):\n    return __import__('pydoc').pager(x)\n",
        "def f(x):\n    return __import__('subprocess').run(x)\n",
    ),
    "module that is perhaps loaded": (
        "import sys\nPLT = sys.modules.get('matplotlib')\n",
        "import sys\nOS = sys.modules.get('os')\n",
    ),
    "module that is loaded": (
        "import sys\nPATH = sys.modules['numpy'].__path__\n",
        "import sys\ndef f(x):\n    return sys.modules['subprocess'].run(x)\n",
    ),
    "connectors of this tool": (
        (
            "from llmport_magic.llm import create_llm_factory\ndef f():\n"
            "    return create_llm_factory()\n"
        ),
        "from llmport_magic.settings import configure\nconfigure(trust='always')\n",
    ),
    "settings of this tool": (
        "def configure(**names):\n    return names\nX = configure(trust='always')\n",
        "import llmport_magic as m\ndef f():\n    getattr(m, 'configure')(trust='always')\n",
    ),
    "place of a finder": (
        "import sys\ndef f(x):\n    return x in sys.meta_path\n",
        "import sys\ndef f(x):\n    return [m.load_module for m in sys.meta_path]\n",
    ),
    "class of a method's object": (
        "def f(m):\n    return m.__self__.__class__.__name__\n",
        "def f(s):\n    return print.__self__.eval(s)\n",
    ),
    "own attribute by name": (
        "class A:\n    def get(self):\n        return object.__getattribute__(self, 'prefix')\n",
        "def f(g):\n    return object.__getattribute__(g, '__globals__')\n",
    ),
    "own attribute by a given name": (
        "class A:\n    def get(self, n):\n        return object.__getattribute__(self, n)\n",
        "def f(g):\n    return g.__getattribute__('__glo' + 'bals__')\n",
    ),
    "function of an ordinary module by name": (
        "import hashlib\ndef digest(name, data):\n    return getattr(hashlib, name)(data)\n",
        "import os\ndef f(name, data):\n    return getattr(os, name)(data)\n",
    ),
    "method of a client by name": (
        "import requests\ndef send(m, url):\n    return getattr(requests, m.lower())(url)\n",
        "import requests\nM = 'get'\nR = getattr(requests, M.lower())('http://example.org')\n",
    ),
    "name with a known start": (
        "def f(self, n):\n    return getattr(self, f'visit_{n}')\n",
        "def f(g, n):\n    return getattr(g, f'__{n}')\n",
    ),
    "name with a known end": (
        "def f(cls, n):\n    return getattr(cls, f'{n}_ops')\n",
        "def f(g, n):\n    return getattr(g, f'{n}als__')\n",
    ),
    "part of a given name": (
        "import operator\ndef f(n):\n    return getattr(operator, n[1:])\n",
        "def f(g, n):\n    return getattr(g, n[::-1])\n",
    ),
    "name put together of constants": (
        "def f(x):\n    return getattr(x, 'na' + 'me')\n",
        "def f(g, name=f\"__{'glo'}{'bals__'}\"):\n    return getattr(g, name)\n",
    ),
    "text of pieces": (
        "X = 'a' + 'b' + str(1)\n",
        "N = '__sub' + 'classes__'\ndef f(x):\n    return getattr(x, N)()\n",
    ),
    "text joined": (
        "X = ', '.join(['a', 'b'])\n",
        "N = ''.join(['__glo', 'bals__'])\ndef f(x):\n    return getattr(x, N)\n",
    ),
    "text turned round": (
        "X = 'abc'[::-1]\n",
        "N = '__slabolg__'[::-1]\ndef f(x):\n    return getattr(x, N)\n",
    ),
    "setting own attributes": (
        "def fill(x, row):\n    for k in row:\n        setattr(x, k.lower(), row[k])\n",
        "import json\ndef f(k, v):\n    setattr(json, k.lower(), v)\n",
    ),
    "bases of a class": (
        "def f(x):\n    return x.__class__.__bases__[0].__name__, type(x).__mro__, type(x).mro()\n",
        "def f(x):\n    return x.__class__.__mro__[-1].__subclasses__()\n",
    ),
    "subclasses of an own class": (
        "class Plugin: ...\ndef all():\n    return [c() for c in Plugin.__subclasses__()]\n",
        "class Plugin: ...\nPlugin = object\ndef all():\n    return Plugin.__subclasses__()\n",
    ),
    "subclasses in a class method": (
        "class P:\n    @classmethod\n    def all(cls):\n        return cls.__subclasses__()\n",
        (
            "class P:\n    @classmethod\n    def all(cls):\n        cls = object\n"
            "        return cls.__subclasses__()\n"
        ),
    ),
    "class method's first argument": (
        "class P:\n    @classmethod\n    def all(cls):\n        return len(cls.__subclasses__())\n",
        "class P:\n    @classmethod\n    def all(x, cls):\n        return cls.__subclasses__()\n",
    ),
    "pickling an exception": (
        "class E(ValueError):\n    def __reduce__(self):\n        return super().__reduce__()\n",
        "def f(x):\n    return x.__reduce_ex__(4)[0].__globals__\n",
    ),
    "names of arguments": (
        "def f(g):\n    return g.__code__.co_varnames[:g.__code__.co_argcount]\n",
        "def f(g, h):\n    return g.__code__.replace(co_names=h)\n",
    ),
    "where an error was raised": (
        "def f(e):\n    t = e.__traceback__\n    return t.tb_frame.f_code.co_name, t.tb_lineno\n",
        "def f(e):\n    return e.__traceback__.tb_frame.f_globals\n",
    ),
    "whether a module is loaded": (
        (
            "import sys\nHERE = 'numpy' in sys.modules\nME = sys.modules[__name__]\n"
            "LOADED = [n for n in sys.modules]\n"
        ),
        "import sys\nM = [m for m in sys.modules.values()]\n",
    ),
    "local names": (
        "def f(a, b):\n    return [locals()[n] for n in ('a', 'b')]\n",
        "def f(n):\n    return globals()[n]('id')\n",
    ),
    "own names made in a loop": (
        "for n in ('a', 'b'):\n    globals()[n] = n.upper()\n",
        "import os\ndef f(x): ...\nfor n in ('f',):\n    globals()[n] = os.system\nf('id')\n",
    ),
    "version of a package": (
        (
            "import urllib3, ssl\nV = int(urllib3.__version__.split('.')[0])\n"
            "S = getattr(ssl, 'HAS_SNI', False)\n"
        ),
        (
            "import ssl\nS = getattr(ssl, 'create_connection', None)('example.org')\n"
            "import urllib3\nurllib3.request('GET', 'http://example.org')\n"
        ),
    ),
    "kinds of errors": (
        (
            "import warnings, urllib3\n"
            "warnings.simplefilter('ignore', urllib3.exceptions.DependencyWarning)\n"
        ),
        "from os import system as RunError\nRunError('id')\n",
    ),
    "classes that are called in capitals": (
        "import socket\nKIND = (socket.AF_INET, socket.SOCK_STREAM)\nprint(socket.AF_INET)\n",
        "import smtplib, ftplib\nS = ftplib.FTP('example.org')\n",
    ),
    "comparing types": (
        "import mmap\ndef f(x):\n    return isinstance(x, (bytes, mmap.mmap))\n",
        "import mmap\ndef f(x):\n    return isinstance(mmap.mmap(x, 0), bytes)\n",
    ),
    "environment when called": (
        "import os\ndef f():\n    os.environ['A'] = '1'\n",
        "import os\ndef f():\n    os.environ['A'] = '1'\nf()\n",
    ),
    "output lent for a while": (
        (
            "import io, sys\ndef f(g):\n    old = sys.stdout\n    sys.stdout = io.StringIO()\n"
            "    try:\n        g()\n    finally:\n        sys.stdout = old\n"
        ),
        "import sys\ndef f(g):\n    sys.excepthook = g\n",
    ),
    "switch of a package": (
        "import torch\ntorch.backends.cudnn.benchmark = False\n",
        "import json as torch\ntorch.loads = 1\n",
    ),
    "key of a package": (
        "import os, openai\nopenai.api_key = os.getenv('OPENAI_API_KEY')\n",
        "import openai\nopenai.ChatCompletion = None\nopenai.request = print\n",
    ),
    "lambda kept under a name": (
        "import os\nclean = lambda path: os.remove(path)\n",
        "import os\nclean = lambda path: os.remove(path)\nclean('x')\n",
    ),
    "lambda kept in a table": (
        "import os\nT = {'rm': lambda p: os.remove(p)}\n",
        "import os\nT = {'rm': lambda p: os.remove(p)}\nT['rm']('x')\n",
    ),
    "lambda in a table that is handed on": (
        "T = {'rm': lambda p: len(p)}\nX = sorted(['b', 'a'], key=T['rm'])\n",
        "import os\nT = {'rm': lambda p: os.remove(p)}\nX = sorted(['b', 'a'], key=T['rm'])\n",
    ),
    "method of the same name elsewhere": (
        (
            "import os, requests\nKEY = os.environ.get('KEY')\nclass Client:\n    def get(self, u):\n"
            "        return requests.get(u)\n"
        ),
        (
            "import requests\nclass Client:\n    def get(self, u):\n        return requests.get(u)\n"
            "c = Client()\nc.get('http://example.org')\n"
        ),
    ),
    "method of a logger": (
        (
            "import logging, os\nlog = logging.getLogger('x')\nlog.info('hi')\nclass A:\n"
            "    def info(self):\n        os.remove('x')\n"
        ),
        (
            "import logging, os\nclass A:\n    def info(self):\n        os.remove('x')\n"
            "log = logging.getLogger('x')\nlog = A()\nlog.info()\n"
        ),
    ),
    "table of functions": (
        "import os\ndef rm(p):\n    os.remove(p)\nT = {'rm': rm}\nN = T.get('x')\n",
        "import os\ndef rm(p):\n    os.remove(p)\nT = {'rm': rm}\nf = T.get('rm')\nf('x')\n",
    ),
    "table that is filled later": (
        "import os\ndef rm(p):\n    os.remove(p)\nT = {}\nT['rm'] = rm\n",
        "import os\ndef rm(p):\n    os.remove(p)\nT = {}\nT['rm'] = rm\nT.get('rm')('x')\n",
    ),
    "function as an attribute": (
        "import os\nclass A: ...\ndef go():\n    os.remove('x')\na = A()\na.f = go\n",
        "import os\nclass A: ...\ndef go():\n    os.remove('x')\na = A()\na.f = go\na.f()\n",
    ),
    "one class made, another not": (
        (
            "class P:\n    def __init__(self): ...\nclass F:\n    def __init__(self):\n"
            "        self.f = open('x')\np = P()\n"
        ),
        (
            "class P:\n    def __init__(self):\n        self.f = open('x')\nclass F(P):\n"
            "    def __init__(self):\n        super().__init__()\np = F()\n"
        ),
    ),
    "one class of two of a name": (
        "class P:\n    def __init__(self): ...\np = P()\n",
        "class P:\n    def __init__(self):\n        open('x')\np = P()\nclass P: ...\n",
    ),
    "enumeration": (
        (
            "import enum\nclass C(enum.Enum):\n    A = 1\n    def label(self):\n"
            "        return open(self.name)\n"
        ),
        (
            "import enum\nclass C(enum.Enum):\n    A = 1\n    def __init__(self, v):\n"
            "        open('x')\n"
        ),
    ),
    "decorator that wraps": (
        (
            "import functools, requests\ndef retry(n):\n    def deco(f):\n        @functools.wraps(f)\n"
            "        def w(*a):\n            return f(*a)\n        return w\n    return deco\n"
            "@retry(3)\ndef fetch(u):\n    return requests.get(u)\n"
        ),
        (
            "import requests\ndef retry(n):\n    def deco(f):\n        f('http://example.org')\n"
            "        return f\n    return deco\n@retry(3)\ndef fetch(u):\n    return requests.get(u)\n"
        ),
    ),
    "decorator without arguments": (
        "import os\ndef run(f):\n    return f\n@run\ndef main():\n    os.remove('x')\n",
        "import os\ndef run(f):\n    f()\n    return f\n@run\ndef main():\n    os.remove('x')\n",
    ),
    "long way to a module": (
        "import os\nX = os.path.sep\n",
        "import os\ndef f():\n    return 1\nx = os" + ".path.os" * 40 + ".system\nx('id')\n",
    ),
    "result of a package's call": (
        (
            "import collections\nP = collections.namedtuple('P', 'x')\ndef rm():\n    open('x')\n"
            "p = P(1)\nq = [rm]\n"
        ),
        "import functools\ndef rm():\n    open('x')\nP = functools.partial(rm)\np = P()\n",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_looks_like_an_attack_passes_and_the_attack_does_not(name: str) -> None:
    """The harmless use of a construct is no finding, its misuse is asked or refused (S0-43)."""
    harmless, attack = PAIRS[name]

    assert assess(harmless).findings == ()
    assert assess(attack).outcome in {"ask", "refuse"}
