"""`load_project_config` and `LLMProvider.from_config`: providers from a project's own file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asking import KEY
from loopback import Loopback, reply
from warned import no_warning, of_ours

from llmport_magic.errors import ConfigError, UsageError
from llmport_magic.llm import LLMProvider, MockConnector, load_project_config
from llmport_magic.secrets import Secret

# The document's own file, letter by letter.
LOOM = (Path(__file__).parent / "fixtures" / "loom.toml").read_text("utf-8")


def written(folder: Path, text: str, name: str = "loom.toml") -> Path:
    """Write a project file."""
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def made(section: dict[str, Any], name: str = "mine") -> LLMProvider:
    """Make a connector of one section."""
    made = LLMProvider.from_config(None, name, {"llm": {name: section}})
    assert isinstance(made, LLMProvider)
    return made


# The file


def test_the_documents_file_is_read(tmp_path: Path) -> None:
    """Each section becomes the connector that it describes (S4-16, S4-17)."""
    config = load_project_config(written(tmp_path, LOOM))
    ctx = object()

    deepseek = LLMProvider.from_config(ctx, "deepseek", config)
    openai = LLMProvider.from_config("openai", config)

    assert isinstance(deepseek, LLMProvider)
    assert isinstance(openai, LLMProvider)
    assert (deepseek.ctx, openai.ctx) == (ctx, None)
    assert deepseek.config.base_url == "https://api.deepseek.com/v1"
    assert (deepseek.config.temperature, deepseek.config.max_tokens) == (0.7, 8192)
    assert (deepseek.provider_name, deepseek.model_name_for_api) == ("deepseek", "deepseek-chat")
    assert deepseek.config.api_key_vars == ("DEEPSEEK_API_KEY",)
    assert openai.model_name_for_api == "gpt-4-turbo"
    assert config.path == str(tmp_path / "loom.toml")


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("llmport.toml", "llm"),
        ("llmport.toml", "llmport.llm"),
        ("pyproject.toml", "tool.llmport.llm"),
    ],
)
def test_our_own_files_are_read(tmp_path: Path, name: str, head: str) -> None:
    """The tables stand at the top, under `llmport`, or in pyproject under `tool.llmport`."""
    path = written(tmp_path, f'[{head}.mine]\nmodel = "m"\n[project]\nname = "x"\n', name)

    assert load_project_config(path).llm == {"mine": {"model": "m"}}


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    """No file is an error, not an empty configuration (S4-16)."""
    with pytest.raises(FileNotFoundError, match=r"no project file `.*loom\.toml`"):
        load_project_config(tmp_path / "loom.toml")
    with pytest.raises(ConfigError, match="cannot read"):
        load_project_config(tmp_path)


@pytest.mark.parametrize("text", ["[llm.x]\nmodel = \n", "[llm.x]\nmodel = 'a'\nmodel = 'b'\n"])
def test_bad_toml_tells_where(tmp_path: Path, text: str) -> None:
    """A file that is no TOML is refused with its name and the line (S4-16)."""
    with pytest.raises(ConfigError, match=r"`.*loom\.toml` is not valid TOML: .*line \d"):
        load_project_config(written(tmp_path, text))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """A file in another encoding is a clear error."""
    path = tmp_path / "loom.toml"
    path.write_bytes(b"[llm.x]\nmodel = '\xff'\n")

    with pytest.raises(ConfigError, match="not valid TOML"):
        load_project_config(path)


def test_a_key_in_the_file_is_never_shown(tmp_path: Path) -> None:
    """A literal key is a secret as soon as it is read, in every representation (X-02)."""
    path = written(tmp_path, f'[llm.mine]\nbase_url = "https://h.example/v1"\napi_key = "{KEY}"\n')

    config = load_project_config(path)
    llm = LLMProvider.from_config(None, "mine", config)

    assert KEY not in f"{config!r} {config} {llm!r} {vars(llm)!r}"


# Sections


async def test_a_section_is_sent_as_it_says(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Address, model, key and numbers of a section are those of the request (S4-16)."""
    server.script(reply("hi"))
    monkeypatch.setenv("MINE_HOST", server.url.removesuffix("/v1"))
    monkeypatch.setenv("MINE_SECRET", KEY)
    section = {
        "api_base": "${MINE_HOST}/v1",
        "model": "m-${MINE_SIZE}",
        "api_key": "${MINE_SECRET}",
        "temperature": 0,
        "max_tokens": 9,
        "timeout_sec": 200,
    }
    monkeypatch.setenv("MINE_SIZE", "large")

    llm = made(section)

    assert (await llm.call("q")).content == "hi"
    request = server.requests[0]
    assert request.json["model"] == "m-large"
    assert (request.json["temperature"], request.json["max_tokens"]) == (0, 9)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert llm.config.timeout_ms == 200_000
    assert llm.config.limits.total == 200
    assert llm.provider_name == "mine"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """A variable that is not set is an error; the text `${...}` is never sent (S4-16)."""
    if value is not None:
        monkeypatch.setenv("MINE_SECRET", value)

    with pytest.raises(
        ConfigError, match=r"`\$\{MINE_SECRET\}` of `api_key` in `\[llm\.mine\]` .* not set"
    ):
        made({"base_url": "https://h.example/v1", "api_key": "${MINE_SECRET}"})


async def test_a_key_is_looked_up_when_it_is_used(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`api_key_env` names a variable that is read with each call, and required (S4-04)."""
    server.script(reply("hi"))
    llm = made({"base_url": server.url, "model": "m", "api_key_env": "MINE_SECRET"})

    with pytest.raises(ConfigError, match="MINE_SECRET"):
        await llm.call("q")
    monkeypatch.setenv("MINE_SECRET", KEY)
    await llm.call("q")

    assert [r.headers["authorization"] for r in server.requests] == [f"Bearer {KEY}"]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"modle": "m"}, "unknown field `modle` in .*: did you mean `model`"),
        ({"zzz": 1}, "unknown field `zzz` in .*: known: base_url, api_base, model"),
        ({"temperature": "hot"}, "`temperature` in .* must be float, not `hot`"),
        ({"temperature": True}, "`temperature` in .* must be float"),
        ({"max_tokens": 1.5}, "`max_tokens` in .* must be int, not `1.5`"),
        ({"timeout_ms": -1}, "`timeout_ms` in .* must be float"),
        ({"model": ""}, "`model` in .* must be str"),
        ({"base_url": "https://a.example", "api_base": "https://b.example"}, "leave one out"),
        ({"timeout_ms": 1, "timeout_sec": 1}, "leave one out"),
        ({"api_key": Secret(KEY), "api_key_env": "X"}, "leave one out"),
        ({"model": "m"}, "needs a `base_url`"),
    ],
)
def test_a_bad_section_is_helped(section: dict[str, Any], said: str) -> None:
    """A misspelt field, a bad value and a pair of equals are named with their section (S4-16)."""
    with pytest.raises(ConfigError, match=said):
        made(section)


def test_a_mistake_in_a_file_names_its_line(tmp_path: Path) -> None:
    """What is wrong in a section is told with file and line (S4-16)."""
    path = written(tmp_path, "[llm.groq]\nmodel = 'm'\nmax_tokens = 'many'\n")

    with pytest.raises(ConfigError, match=r"`max_tokens` in `\[llm\.groq\]` of .*, line 3 must be"):
        LLMProvider.from_config(None, "groq", load_project_config(path))


def test_a_section_may_say_all_that_a_provider_has() -> None:
    """Headers, options and deadlines stand in a section as in any settings (S4-16)."""
    llm = made(
        {
            "base_url": "https://h.example/v1",
            "headers": {"x-key": KEY},
            "options": {"num_ctx": 9},
            "max_retries": 0,
            "first_byte_timeout": 3,
        }
    )

    assert llm.config.headers == {"x-key": Secret(KEY)}
    assert (llm.config.options, llm.config.retry.attempts) == ({"num_ctx": 9}, 1)
    assert llm.config.limits.first_byte == 3


def test_a_bad_key_is_not_shown() -> None:
    """Not even a value of the wrong kind is shown where a key belongs (X-02)."""
    with pytest.raises(ConfigError, match=r"`api_key` in .* must be str$"):
        made({"base_url": "https://h.example/v1", "api_key": 123_456_789})


def test_a_section_stands_over_the_catalogue() -> None:
    """What a section leaves out is the catalogue's (S4-17)."""
    llm = made({"temperature": 0.1}, "deepseek")

    assert llm.config.base_url == "https://api.deepseek.com/v1"
    assert llm.model_name_for_api
    assert llm.config.key_required
    assert "DEEPSEEK_API_KEY" in llm.config.api_key_vars
    assert llm.config.temperature == 0.1


async def test_a_preset_key_goes_to_the_presets_server_only(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another address in a file does not get the key that was set for the provider (S2-15)."""
    server.always(reply("hi"))
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)

    await made({"base_url": server.url}, "deepseek").call("q")
    await made({"base_url": server.url, "api_key_env": "DEEPSEEK_API_KEY"}, "deepseek").call("q")

    assert "authorization" not in server.requests[0].headers
    assert server.requests[1].headers["authorization"] == f"Bearer {KEY}"
    same = made({"base_url": "https://api.deepseek.com:443/v1/"}, "deepseek")
    assert "DEEPSEEK_API_KEY" in same.config.api_key_vars


def test_a_provider_with_its_own_connector_takes_a_section() -> None:
    """A section of the mock makes the mock, with the section's model (S4-17)."""
    section = {"model": "pretend", "timeout_ms": 500}

    llm = LLMProvider.from_config(None, "mock", {"llm": {"mock": section}})

    assert isinstance(llm, MockConnector)
    assert llm.model_name_for_api == "pretend"


# No section


def test_without_a_section_the_preset_is_taken_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A provider of the catalogue stands in, with one warning and no print (S4-17)."""
    config = load_project_config(written(tmp_path, LOOM))

    with pytest.warns(UserWarning, match=r"no `\[llm.groq\]` in `.*loom.toml`: .*preset") as caught:
        llm = LLMProvider.from_config(None, "groq", config)

    (told,) = of_ours(caught)
    assert told.filename == __file__
    assert llm.provider_name == "groq"
    assert capsys.readouterr() == ("", "")
    with no_warning():
        LLMProvider.from_config(None, "deepseek", config)


def test_neither_section_nor_provider_is_an_error(tmp_path: Path) -> None:
    """A name that nobody knows is refused with the nearest one and all (S4-17)."""
    config = load_project_config(written(tmp_path, '[llm.mistral]\nbase_url = "https://h.example"'))

    with pytest.raises(UsageError, match="load_project_config"):
        LLMProvider.from_config(None, "mistral")
    with pytest.raises(ConfigError, match=r"no `\[llm.mistrl\]` .*did you mean `mistral`.*openai"):
        LLMProvider.from_config(None, "mistrl", config)
