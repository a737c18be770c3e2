"""A provider of one's own: a class with `call_llm`, and connectors that packages bring along."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from scripted import GOOD, PROMPT, fenced
from warned import of_ours

from llmport_magic import configure, llmport
from llmport_magic import session as sessions
from llmport_magic.errors import ConfigError
from llmport_magic.llm import PROVIDER_CONFIG, BaseLLMConnector, register_provider
from llmport_magic.llm.registry import (
    connector_for,
    default_registry,
    provider_rows,
)
from llmport_magic.llm.selection import choose_provider
from llmport_magic.modules import loader
from llmport_magic.settings import resolve

KEY = "planted-key-0123456789abcdef"
PACKAGE = """
from llmport_magic.llm import BaseLLMConnector


class Parrot(BaseLLMConnector):
    def __init__(self, api_key=None, model="parrot-1"):
        self.api_key = api_key
        self.model = model

    def call_llm(self, prompt):
        return f"{self.model}: {prompt}"


def make(api_key=None, model=None):
    return Parrot(api_key, model or "made")


READY = Parrot(None, "ready")
NOTHING = {"not": "a connector"}
"""


class Echo(BaseLLMConnector):
    """The shortest connector there is."""

    def __init__(self, api_key: str, model: str) -> None:
        self.api_key, self.model = api_key, model

    def call_llm(self, prompt: str) -> str:
        """Answer with a module, whatever is asked."""
        return fenced(GOOD)


pytestmark = pytest.mark.usefixtures("own_registry")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder of its own, with a fresh session and no module left over."""
    monkeypatch.chdir(tmp_path)
    sessions.close_session()
    yield tmp_path
    sessions.close_session()
    loader.uninstall()
    configure()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a package `parrots` with the entry points that a test gives."""

    def install(*lines: str) -> None:
        (tmp_path / "parrots.py").write_text(PACKAGE, encoding="utf-8")
        info = tmp_path / "parrots-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrots\nVersion: 1.0\n")
        group = "[llmport_magic.connectors]\n"
        (info / "entry_points.txt").write_text(group + "\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "parrots", raising=False)

    return install


# A class with only `call_llm`


def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHO_API_KEY", KEY)
    PROVIDER_CONFIG["echo"] = {
        "api_key_vars": ["ECHO_API_KEY"],
        "default_model": "echo-1",
        "connector": Echo,
    }


async def test_such_a_class_completes_and_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """`complete`, `call`, `generate_text` and a stream of one piece work with it (S0-17)."""
    _registered(monkeypatch)
    llm = connector_for(resolve(provider="echo"))

    answer = await llm.complete("q")
    stream = llm.stream("q")
    pieces = [piece async for piece in stream]

    assert (answer.content, answer.provider, answer.model) == (fenced(GOOD), "echo", "echo-1")
    assert pieces == [fenced(GOOD)]
    assert stream.response.content == fenced(GOOD)
    assert answer.metadata["usage_estimated"]
    assert (await llm.call([{"role": "user", "content": "q"}])).content == fenced(GOOD)
    assert await llm.generate_text("q") == fenced(GOOD)
    together = await asyncio.gather(*(llm.complete("q") for _ in range(5)))
    assert {one.content for one in together} == {fenced(GOOD)}


def test_such_a_class_writes_modules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python API makes a checked module with it (S0-17)."""
    _registered(monkeypatch)

    circle = llmport("circle", PROMPT, provider="echo")

    assert circle.area(1) == pytest.approx(3.14159, abs=1e-4)


def test_such_a_class_answers_cells(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `%%llmport` cell makes a checked module with it (S0-17)."""
    _registered(monkeypatch)
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "llmport_magic")
    try:
        result = shell.run_cell(f"%%llmport circle -p echo\n{PROMPT}")
        assert result.success
        value = shell.run_cell("circle.area(1)").result
    finally:
        shell.run_line_magic("unload_ext", "llmport_magic")
        InteractiveShell.clear_instance()

    assert value == pytest.approx(3.14159, abs=1e-4)


# Registering


def test_a_yaml_file_is_a_provider(tmp_path: Path) -> None:
    """A row in a file of one's own is registered by its path; a mistake is named (S0-20)."""
    row = tmp_path / "mine.yaml"
    row.write_text(
        "provider:\n  name: mine\n  base_url: https://mine.example/v1\n"
        "  api_key_vars: [MINE_API_KEY]\n  default_model: m-1\n"
        "  models: {m-1: {capabilities: {tools: true}}}\n"
    )
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("provider: {name: x, base_ulr: https://x.example}\n")
    broken = tmp_path / "broken.yaml"
    broken.write_text("provider: [\n")

    register_provider(row)

    assert PROVIDER_CONFIG["mine"]["default_model"] == "m-1"
    assert default_registry().find_model("m-1", "mine") is not None
    with pytest.raises(ConfigError, match=r"wrong\.yaml: unknown field `base_ulr`: did you mean"):
        register_provider(wrong)
    for bad in (broken, tmp_path / "missing.yaml"):
        with pytest.raises(ConfigError, match=f"{bad.name} cannot be read") as caught:
            register_provider(bad)
        assert "\n" not in str(caught.value)


# Packages


def test_a_package_brings_a_connector(package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point is a provider: class, function or object; its own defaults hold (S0-20)."""
    package("parrot = parrots:Parrot", "made = parrots:make", "ready = parrots:READY")

    assert connector_for(resolve(provider="parrot")).call_llm("hi") == "parrot-1: hi"
    assert connector_for(resolve(provider="parrot", model="p-2")).call_llm("hi") == "p-2: hi"
    assert connector_for(resolve(provider="made")).call_llm("hi") == "made: hi"
    assert connector_for(resolve(provider="ready")).call_llm("hi") == "ready: hi"
    assert connector_for(resolve(provider="parrot")).provider_name == "parrot"
    assert {"parrot", "made", "ready"} <= {row.name for row in provider_rows()}
    monkeypatch.setenv("PARROT_API_KEY", KEY)
    assert choose_provider(resolve()) == ("parrot", "PARROT_API_KEY is set")


def test_a_package_is_imported_when_it_is_asked(package: Any) -> None:
    """Listing providers imports none of the packages that bring some (S0-20)."""
    package("parrot = parrots:Parrot")

    assert "parrot" in [row.name for row in provider_rows()]
    assert "parrots" not in sys.modules
    connector_for(resolve(provider="parrot"))
    assert "parrots" in sys.modules


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("parrots:Missing", "AttributeError"),
        ("no_such_module:Parrot", "ModuleNotFoundError"),
    ],
)
def test_a_broken_package_is_one_line(package: Any, target: str, says: str) -> None:
    """What cannot be imported is an error that names the package, and harms nobody else."""
    package(f"parrot = {target}")

    with pytest.raises(ConfigError, match=says) as caught:
        connector_for(resolve(provider="parrot"))

    assert "`parrots`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "parrot" in [row.name for row in provider_rows()]
    assert connector_for(resolve(provider="mock"))


def test_what_is_no_connector_is_refused(package: Any) -> None:
    """An entry point of something else is an error, not a crash later."""
    package("parrot = parrots:NOTHING")

    with pytest.raises(ConfigError, match="must inherit BaseLLMConnector"):
        connector_for(resolve(provider="parrot"))


@pytest.mark.parametrize("given", [dict, {"not": "a connector"}, 7])
def test_what_can_be_no_connector_is_not_registered(given: Any) -> None:
    """A class of another kind, or an object that makes nothing, is refused before it is listed."""
    with pytest.raises(ConfigError, match="`other` must inherit BaseLLMConnector: "):
        register_provider("other", connector=given)

    assert "other" not in PROVIDER_CONFIG


def test_a_provider_shows_itself_in_a_few_words() -> None:
    """What `register_provider` gives, as the value of a cell, is one short line."""
    own = register_provider("mine", base_url="https://x.example/v1", models={"a": {}, "b": {}})
    kind = register_provider("echo", connector=Echo)

    assert repr(own) == "Provider('mine', openai_chat, https://x.example/v1, 2 models)"
    assert repr(kind) == "Provider('echo', connector Echo, 0 models)"


def test_a_package_takes_no_name_that_is_taken(package: Any) -> None:
    """A package cannot answer, and get the key, in the place of a known provider."""
    package("openai = parrots:Parrot", "2fast = parrots:Parrot", "parrot = parrots:Parrot")

    with pytest.warns(UserWarning, match="`parrots`") as caught:
        rows = default_registry().providers()

    assert len(of_ours(caught)) == 2
    names = [row.name for row in rows]
    assert names.count("openai") == 1
    assert default_registry().provider("openai").connector is None
    assert "parrot" in names
    assert "2fast" not in names


def test_the_user_s_own_provider_stands(package: Any) -> None:
    """What the user registered stays, whatever a package brings under that name."""
    package("parrot = parrots:Parrot")
    PROVIDER_CONFIG["parrot"] = {"api_key_vars": [], "connector": Echo, "default_model": "e"}

    with pytest.warns(UserWarning, match="another provider has that name"):
        assert len(default_registry().providers()) > 5

    assert isinstance(connector_for(resolve(provider="parrot")), Echo)


def test_known_providers_cost_no_search() -> None:
    """Making a connector of the catalogue does not look through the installed packages."""
    code = (
        "import sys\n"
        "from llmport_magic.llm.provider import LLMConfig, LLMProvider\n"
        "LLMProvider(LLMConfig('http://localhost:1/v1', 'm'))\n"
        "LLMProvider.from_name('openai')\n"
        "assert 'llmport_magic.llm.plugins' in sys.modules\n"
        "assert 'importlib.metadata' not in sys.modules, 'searched'\n"
    )

    done = subprocess.run(
        [sys.executable, "-S", "-c", _with_paths(code)], capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr.decode()


def _with_paths(code: str) -> str:
    """Give a process without `site`, which may load anything, this one's search path."""
    return f"import sys\nsys.path[:] = {sys.path!r}\n{code}"


def test_an_entry_point_without_a_package_is_named_by_its_module() -> None:
    """An entry point that somebody made by hand fails in one line, too."""
    from llmport_magic.llm.plugins import loaded

    point = EntryPoint("x", "no_such_module:X", "llmport_magic.connectors")

    with pytest.raises(ConfigError, match="`no_such_module`"):
        loaded(point)
