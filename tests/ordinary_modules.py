"""Ordinary modules, as models write them: none of them is anything to ask the user about."""

from __future__ import annotations

# ruff: noqa: E501 - a line is a line of the module
ORDINARY: dict[str, str] = {
    "circle": "import math\n\ndef area(r):\n    return math.pi * r ** 2\n",
    "constants": "from math import pi, sqrt\n\nTAU = 2 * pi\nROOTS = [sqrt(i) for i in range(9)]\n",
    "star import": "from math import *\n\ndef f(x):\n    return sin(x)\n",
    "dataclass": (
        "from dataclasses import dataclass, field\n\n@dataclass(frozen=True)\nclass Point:\n"
        "    x: float\n    y: float = 0.0\n    tags: list = field(default_factory=list)\n"
    ),
    "enum": "from enum import Enum, auto\n\nclass Color(Enum):\n    RED = auto()\n    BLUE = auto()\n",
    "regex": "import re\n\n_WORD = re.compile(r'\\w+')\n\ndef words(s):\n    return _WORD.findall(s)\n",
    "cache": (
        "import functools\n\n@functools.lru_cache(maxsize=None)\ndef fib(n):\n"
        "    return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
    ),
    "requests": (
        "import requests\n\nsession = requests.Session()\n\ndef fetch(url):\n"
        "    response = session.get(url, timeout=10)\n    response.raise_for_status()\n"
        "    return response.json()\n"
    ),
    "pandas": (
        "import pandas as pd\n\ndef load(path):\n    df = pd.read_csv(path)\n"
        "    df['x'] = df['x'].fillna(0)\n    return df.groupby('a').agg({'x': 'sum'})\n\n"
        "def save(df, path):\n    df.to_csv(path, index=False)\n"
    ),
    "matplotlib": (
        "import matplotlib.pyplot as plt\n\nplt.rcParams['figure.dpi'] = 100\n\n"
        "def plot(xs, ys, path=None):\n    fig, ax = plt.subplots()\n    ax.plot(xs, ys)\n"
        "    if path:\n        fig.savefig(path)\n    return fig\n"
    ),
    "numpy": (
        "import numpy as np\n\nrng = np.random.default_rng(0)\nEYE = np.eye(3)\n\n"
        "def norm(x):\n    return np.linalg.norm(x)\n"
    ),
    "files when called": (
        "import os\nimport json\nfrom pathlib import Path\n\nHERE = Path('.')\n\n"
        "def read(path):\n    with open(path) as f:\n        return json.load(f)\n\n"
        "def clean(path):\n    if os.path.exists(path):\n        os.remove(path)\n"
    ),
    "main guard": (
        "import sys\n\ndef main():\n    print(open(sys.argv[1]).read())\n\n"
        "if __name__ == '__main__':\n    main()\n    sys.exit(0)\n"
    ),
    "logging": (
        "import logging\n\nlogger = logging.getLogger(__name__)\nlogging.basicConfig(level=20)\n\n"
        "def f():\n    logger.info('called')\n"
    ),
    "environment": "import os\n\nKEY = os.environ.get('KEY', '')\nHOME = os.getenv('HOME')\n",
    "subprocess when called": (
        "import subprocess\n\ndef git(*args):\n"
        "    return subprocess.run(['git', *args], stdout=subprocess.PIPE, check=True).stdout\n"
    ),
    "generator": "def chunks(xs, n):\n    for i in range(0, len(xs), n):\n        yield xs[i:i + n]\n",
    "class with properties": (
        "class Circle:\n    def __init__(self, r):\n        self._r = r\n\n    @property\n"
        "    def r(self):\n        return self._r\n\n    def __repr__(self):\n"
        "        return f'{self.__class__.__name__}({self._r!r})'\n\n    def __eq__(self, other):\n"
        "        return type(self) is type(other) and self.__dict__ == other.__dict__\n"
    ),
    "visitor": (
        "class Visitor:\n    def visit(self, node):\n        name = type(node).__name__\n"
        "        return getattr(self, f'visit_{name}', self.default)(node)\n\n"
        "    def default(self, node):\n        return None\n"
    ),
    "getattr by name": (
        "def pluck(items, name):\n    return [getattr(item, name, None) for item in items]\n\n"
        "def fill(obj, values):\n    for key, value in values.items():\n"
        "        setattr(obj, key, value)\n"
    ),
    "abstract": (
        "from abc import ABC, abstractmethod\n\nclass Shape(ABC):\n    @abstractmethod\n"
        "    def area(self): ...\n\nclass Square(Shape):\n    def __init__(self, a):\n"
        "        super().__init__()\n        self.a = a\n    def area(self):\n"
        "        return self.a ** 2\n"
    ),
    "decorator": (
        "import functools\nimport time\n\ndef timed(f):\n    @functools.wraps(f)\n"
        "    def wrapper(*a, **k):\n        t = time.perf_counter()\n        try:\n"
        "            return f(*a, **k)\n        finally:\n            print(time.perf_counter() - t)"
        "\n    return wrapper\n\n@timed\ndef work(n):\n    return sum(range(n))\n"
    ),
    "async client": (
        "import asyncio\nimport httpx\n\nasync def get(url):\n"
        "    async with httpx.AsyncClient() as c:\n        return (await c.get(url)).text\n\n"
        "def get_all(urls):\n    async def run():\n"
        "        return await asyncio.gather(*map(get, urls))\n    return asyncio.run(run())\n"
    ),
    "sqlite": (
        "import sqlite3\n\ndef connect(path=':memory:'):\n    db = sqlite3.connect(path)\n"
        "    db.execute('create table if not exists t (a, b)')\n    return db\n"
    ),
    "named tuple": (
        "from collections import namedtuple, defaultdict, Counter\n\n"
        "Point = namedtuple('Point', 'x y')\nORIGIN = Point(0, 0)\n\n"
        "def count(xs):\n    return Counter(xs).most_common(3)\n"
    ),
    "table built at import": (
        "def _table():\n    return {n: n * n for n in range(10)}\n\nSQUARES = _table()\n"
    ),
    "dispatch": (
        "import operator\n\nOPS = {'+': operator.add, '-': operator.sub}\n\n"
        "def calc(a, op, b):\n    return OPS[op](a, b)\n"
    ),
    "typing": (
        "from __future__ import annotations\nfrom typing import Generic, Protocol, TypeVar\n\n"
        "T = TypeVar('T')\n\nclass Stack(Generic[T]):\n    def __init__(self) -> None:\n"
        "        self._items: list[T] = []\n    def push(self, item: T) -> None:\n"
        "        self._items.append(item)\n    def pop(self) -> T:\n        return self._items.pop()\n"
    ),
    "flask": (
        "from flask import Flask, jsonify\n\napp = Flask(__name__)\n\n@app.route('/')\n"
        "def index():\n    return jsonify(ok=True)\n"
    ),
    "torch": (
        "import torch\nfrom torch import nn\n\nclass Net(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.l = nn.Linear(2, 1)\n"
        "    def forward(self, input):\n        return self.l(input)\n\n"
        "def predict(model, x):\n    model.eval()\n    return model(x)\n"
    ),
    "sklearn": (
        "from sklearn.linear_model import LinearRegression\n"
        "from sklearn.model_selection import train_test_split\n\ndef fit(X, y):\n"
        "    a, b, c, d = train_test_split(X, y)\n    return LinearRegression().fit(a, c)\n"
    ),
    "optional import": (
        "try:\n    import numpy as np\nexcept ImportError:\n    np = None\n\n"
        "def mean(xs):\n    return np.mean(xs) if np else sum(xs) / len(xs)\n"
    ),
    "context manager": (
        "import os\nfrom contextlib import contextmanager\n\n@contextmanager\ndef cd(path):\n"
        "    old = os.getcwd()\n    os.chdir(path)\n    try:\n        yield\n    finally:\n"
        "        os.chdir(old)\n"
    ),
    "threads when called": (
        "import threading\nfrom concurrent.futures import ThreadPoolExecutor\n\n"
        "_lock = threading.Lock()\n\ndef pmap(f, xs):\n    with ThreadPoolExecutor() as pool:\n"
        "        return list(pool.map(f, xs))\n"
    ),
    "random": "import random\n\nrandom.seed(0)\n\ndef roll():\n    return random.randint(1, 6)\n",
    "docstring that names things": (
        'def subclasses(cls):\n    """Like `cls.__subclasses__()`, see __globals__."""\n'
        "    return []\n"
    ),
    "own eval": (
        "def eval(node, env):\n    return env[node]\n\ndef run(node):\n    return eval(node, {})\n"
    ),
    "compile methods": (
        "import re\n\ndef search(pattern, text, compile=True):\n    pattern = re.compile(pattern)\n"
        "    return pattern.search(text)\n"
    ),
    "csv and zip": (
        "import csv\nimport io\nimport zipfile\n\ndef rows(text):\n"
        "    return list(csv.DictReader(io.StringIO(text)))\n\ndef names(path):\n"
        "    with zipfile.ZipFile(path) as z:\n        return z.namelist()\n"
    ),
    "warnings and recursion": (
        "import sys\nimport warnings\n\nwarnings.filterwarnings('ignore')\n"
        "sys.setrecursionlimit(5000)\n\ndef depth(t):\n"
        "    return 0 if t is None else 1 + max(map(depth, t))\n"
    ),
    "markdown table": (
        "ROWS = [('a', 1), ('b', 2)]\n\nTEXT = '\\n'.join(f'| {k} | {v} |' for k, v in ROWS)\n"
        "print(TEXT)\n"
    ),
}
