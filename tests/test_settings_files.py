"""Settings files: every mistake is told with file, line, field and what was meant."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmport_magic.errors import ConfigError
from llmport_magic.llm.provider_settings import settings_of
from llmport_magic.llm.registry import default_registry
from llmport_magic.secrets import Secret, redact
from llmport_magic.settings import resolve
from llmport_magic.settings.reading import Content, read_settings

KEY = "planted-key-0123456789abcdef"


def as_toml(values: dict[str, Any]) -> str:
    """Write values, and one table."""
    flat = [f"{name} = {_toml(value)}" for name, value in values.items() if name != "llm"]
    for name, section in values.get("llm", {}).items():
        if not isinstance(section, dict):
            flat.append(f"llm.{name} = {_toml(section)}")
            continue
        flat += [f"[llm.{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items())]
    return "\n".join(["# a comment", *flat]) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(part)}" for name, part in value.items()) + " }"
    return str(value) if isinstance(value, float) else json.dumps(value)


FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {
    ".toml": as_toml,
    ".yaml": lambda values: "# a comment\n" + yaml.safe_dump(values),
    ".json": lambda values: json.dumps(values, indent="\t"),
}


def written(folder: Path, text: str | bytes, name: str) -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


MISTAKES = [
    ({"temprature": 0.5}, "temprature", r"unknown setting `temprature` in .*`temperature`"),
    ({"llm": {"groq": {"modle": "m"}}}, "modle", r"unknown setting `modle` in .*`model`"),
    ({"llm": {"groq": {"tries": 1}}}, "tries", "put it beside the providers' tables"),
    ({"llm": {"groq": "m"}}, "groq", r"`llm\.groq` in .* must be a table"),
    ({"llm": {}, "tries": "many"}, "tries", "`tries` in .* must be int of 1 or more, not `many`"),
    ({"tries": 0}, "tries", "`tries` in .* must be int of 1 or more, not `0`"),
    ({"sandbox_seconds": 0}, "sandbox_seconds", "must be float of 1 or more, not `0`"),
    ({"sandbox_memory_mb": 0}, "sandbox_memory_mb", "must be int of 1 or more, not `0`"),
    ({"temperature": float("nan")}, "temperature", "must be float, not `nan`"),
    ({"total_timeout": float("inf")}, "total_timeout", "must be float, not `inf`"),
    ({"attempts": float("inf")}, "attempts", "`attempts` in .* must be int"),
    ({"max_tokens": -1}, "max_tokens", "`max_tokens` in .* must be int of 0 or more, not `-1`"),
    ({"max_tokens": True}, "max_tokens", "`max_tokens` in .* must be int"),
    ({"mode": "fast"}, "mode", "`mode` in .* is one of live, frozen, not `fast`"),
    ({"log": "maybe"}, "log", "`log` in .* must be bool"),
    ({"model": ["m"]}, "model", "`model` in .* must be str"),
    ({"fallback": [1]}, "fallback", "`fallback` in .* must be a list of texts"),
    ({"headers": {"x-a": 1}}, "headers", "`headers` in .* must be a table of texts"),
    ({"headers": {"x-a": "b\nc: d"}}, "headers", "`headers` in .* must be a table of texts"),
    ({"options": 1}, "options", "`options` in .* must be a table"),
    ({"timeout_ms": "soon"}, "timeout_ms", "`timeout_ms` in .* must be float, not `soon`"),
    ({"api_base": "a", "base_url": "b"}, "base_url", "once more: leave one out"),
    ({"provider": "${WHO}"}, "provider", "is a name, not a variable"),
]


@pytest.mark.parametrize(("values", "field", "says"), MISTAKES, ids=[one[1] for one in MISTAKES])
@pytest.mark.parametrize("ending", FORMATS)
def test_a_mistake_is_told_with_its_line(
    values: dict[str, Any], field: str, says: str, ending: str, tmp_path: Path
) -> None:
    """Unknown names, wrong types and bad numbers name file, line and field in every format."""
    path = written(tmp_path, FORMATS[ending](values), f"mine{ending}")

    with pytest.raises(ConfigError, match=says) as caught:
        resolve(config=path, provider="groq")
    told = str(caught.value)
    assert str(path) in told
    line = int(told.partition(", line ")[2].split()[0].rstrip(":"))
    assert field in path.read_text("utf-8").splitlines()[line - 1]
    assert "\n" not in told


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.toml", "tries = 1\nmodel = \n", r"not valid TOML: .*line 2"),
        ("a.toml", "tries = [", r"not valid TOML: .*line 1, the end"),
        ("a.toml", "model = 'a'\nmodel = 'b'\n", r"not valid TOML: .*line 2"),
        ("a.yaml", "model: a\n  b: c\n", r"not valid YAML: .*line 2"),
        ("a.yml", "model: a\nmodel: b\n", r"`model` stands in line 1 and line 2"),
        ("a.yaml", "model: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("a.yaml", "- a\n- b\n", "holds no table of settings"),
        ("a.json", '{"model": }', r"not valid JSON: .*line 1"),
        ("a.json", '{"model": "a", "model": "b"}', "`model` stands there twice"),
        ("a.json", "[1]", "holds no table of settings"),
        ("a.json", "[" * 50_000, "nested too deeply"),
        ("a.toml", b"model = '\xff'\n", r"not valid TOML: it is not UTF-8 text \(at line 1\)"),
        ("a.toml", b"model = 'a'\n\x00\x00", "not valid TOML: it is no text"),
        ("a.toml", b"\x7fELF" + bytes(range(256)) * 10, "not valid TOML"),
        ("a.toml", "x = 1\n" * 300_000, "is too long: 1,000,000 bytes are read at most"),
        ("b.env", 'A=1\nLLMPORT_MODEL="open\n', r"`LLMPORT_MODEL` has a quote .*line 2"),
        ("pyproject.toml", "[project]\nname = 'x'\n", r"has no table `\[tool\.llmport\]`"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    name: str, text: str | bytes, says: str, tmp_path: Path
) -> None:
    """Broken syntax, other encodings, binary and huge files are one clear line each."""
    path = written(tmp_path, text, name)

    with pytest.raises(ConfigError, match=says) as caught:
        resolve(config=path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bomb_of_yaml_is_refused(tmp_path: Path) -> None:
    """A few lines that stand for billions of fields are refused at once."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path = written(tmp_path, "\n".join(lines), "bomb.yaml")

    with pytest.raises(ConfigError, match="stands for more than 10,000 fields"):
        resolve(config=path)


def test_what_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named file that is missing, or a folder, is an error and not an empty file (S4-16)."""
    monkeypatch.setenv("LLMPORT_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match=r"cannot read settings file `.*none\.toml`: No such"):
        resolve()
    monkeypatch.setenv("LLMPORT_CONFIG", str(tmp_path))
    with pytest.raises(ConfigError, match="it is no plain file"):
        resolve()


# What files may hold


def test_lines_are_found_in_every_writing(tmp_path: Path) -> None:
    """Quoted and dotted names, tables in a line and texts of several lines keep lines right."""
    text = (
        'a = """\nmodel = 1\n"""\nmodel = "m"\n[llm."my.own"]\nmodel = "n"\n'
        '[llm]\ngroq = { model = "x" }\n"mine".model = "y"\n'
    )
    content = read_settings(written(tmp_path, text, "a.toml"))

    def line(*names: str) -> str:
        return content.place(*names).rpartition(", line ")[2]

    assert line("model") == "4"
    assert line("llm", "my.own", "model") == "6"
    assert line("llm", "groq", "model") == "8"
    assert line("llm", "mine", "model") == "9"
    assert content.place("nothing") == str(tmp_path / "a.toml")


def test_other_words_for_the_same_settings(tmp_path: Path) -> None:
    """`api_base`, `timeout_sec`, `timeout_ms`, `timeout` and `max_retries` are read (S4-16)."""
    path = written(tmp_path, "api_base = 'https://a.example'\nmax_retries = 4\n", "a.toml")
    settings = resolve(config=path)

    assert (settings.base_url, settings.attempts) == ("https://a.example", 5)
    for word, value in (("timeout_ms", 1500), ("timeout_sec", 1.5), ("timeout", "1.5")):
        assert resolve(config={word: value}).total_timeout == 1.5
    assert resolve(config={"timeout_ms": "1500", "max_retries": "0"}).attempts == 1


def test_a_variable_stands_for_its_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`${NAME}` is replaced in texts, lists and headers, where it is a secret (S4-16)."""
    text = 'model = "m-${SIZE}"\nfallback = ["${WHO}"]\n[headers]\nAuthorization = "Bearer ${T}"\n'
    path = written(tmp_path, text, "a.toml")
    with pytest.raises(ConfigError, match=r"`\$\{SIZE\}` of `model` in .*a\.toml, line 1 is not"):
        resolve(config=path)
    for name, value in (("SIZE", "large"), ("WHO", "groq"), ("T", KEY)):
        monkeypatch.setenv(name, value)
    settings = resolve(config=path)

    assert (settings.model, settings.fallback) == ("m-large", ("groq",))
    assert settings.headers == {"Authorization": Secret(f"Bearer {KEY}")}
    assert KEY not in repr(settings)


def test_a_dotenv_file_is_read_as_shells_do(tmp_path: Path) -> None:
    """Quotes, `export`, comments and line ends of Windows; numbers are no secrets (S2-16)."""
    text = (
        "# a comment\r\nexport LLMPORT_MODEL='a b' # c\r\nLLMPORT_MAX_TOKENS=12\r\n"
        'LLMPORT_BUDGET_TOKENS="345"\r\nLLMPORT_API_KEY_ENV=MY_KEY\r\nLLMPORT_KEYRING=yes\r\n'
        "LLMPORT_SEED=7#8\r\nDB_PASSWORD=short\r\nnot a line\r\nLLMPORT_STDOUT=\r\n"
    ).replace("7#8", "7 # eight")
    settings = resolve(config=written(tmp_path, text, ".env"))

    assert (settings.model, settings.max_tokens, settings.seed) == ("a b", 12, 7)
    assert (settings.budget_tokens, settings.api_key_env) == (345, ("MY_KEY",))
    assert (settings.keyring, settings.stdout) == (True, False)
    assert settings.source("seed").endswith(".env, line 7: LLMPORT_SEED")


def test_keys_in_files_are_secrets_and_words_are_not(tmp_path: Path) -> None:
    """A key is masked as soon as it is read; other programs' words are not (X-02)."""
    other = "[tool.poetry]\nmonkeytype = 'prettyword'\n[tool.llmport]\nseed = 1\n"
    content = read_settings(written(tmp_path, other, "pyproject.toml"))
    assert content.table == {"tool": {"llmport": {"seed": 1}}}
    assert redact("prettyword") == "prettyword"
    content = read_settings(
        written(tmp_path, f"api_key: {KEY}\noptions: {{eos_token: endofmytext}}\n", "a.yaml")
    )
    assert isinstance(content, Content)
    assert content.table["api_key"] == Secret(KEY)
    assert KEY not in repr(content)
    assert content.table["options"] == {"eos_token": "endofmytext"}
    assert redact("endofmytext") == "endofmytext"


def test_a_table_for_a_provider_that_comes_later(tmp_path: Path) -> None:
    """A provider that is registered afterwards finds its table; nobody is refused for it."""
    path = written(tmp_path, "[llm.mine]\nmodel = 'm'\ntemperature = 0.5\n", "a.toml")
    settings = resolve(config=path, provider="mine")
    default_registry.cache_clear()
    default_registry().register_provider("mine", base_url="https://mine.example/v1")
    own = settings_of(default_registry().provider("mine"), settings)
    default_registry.cache_clear()

    assert (own.model, own.temperature) == ("m", 0.5)


def test_the_seeds_project_file_is_read(tmp_path: Path) -> None:
    """The document's own `loom.toml` is read letter by letter, named as any settings (S4-16)."""
    text = (Path(__file__).parent / "fixtures" / "loom.toml").read_text("utf-8")
    path = written(tmp_path, text, "loom.toml")
    settings = resolve(config=path, provider="deepseek")

    assert (settings.model, settings.max_tokens) == ("deepseek-chat", 8192)
    assert settings.source("model").startswith(f"{path}, line ")
