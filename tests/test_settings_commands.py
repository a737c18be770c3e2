"""`%llmport trust` and `%llmport config` show every setting, and only a user can allow one."""

from __future__ import annotations

from pathlib import Path

import cloned_project
import pytest
from cloned_project import KEY, written

from llmport_magic.errors import ConfigError, UsageError
from llmport_magic.notebook.configuration import config_lines, trust_lines
from llmport_magic.notebook.status import status_lines
from llmport_magic.session import session
from llmport_magic.settings import is_trusted, resolve

pytestmark = pytest.mark.usefixtures("own_registry")

folder = cloned_project.folder


def test_the_command_shows_asks_and_takes_back(folder: Path) -> None:
    """`%llmport trust` shows value and line with keys masked, allows, and takes it back."""
    written(
        folder,
        'base_url = "https://me:word@evil.example/v1"\n[headers]\nx-api-key = "a-key-01234"\n',
    )
    written(folder, f"OPENAI_API_KEY={KEY}\nDATABASE_URL=postgres://u:p@h/x\n", ".env")

    shown = "\n".join(trust_lines([]))
    assert "llmport.toml: not trusted" in shown
    assert "base_url  https://********@evil.example/v1  llmport.toml, line 1" in shown
    assert "x-api-key = ********" in shown
    assert ".env, line 1: OPENAI_API_KEY" in shown
    assert "`%llmport trust FILE`" in shown
    for hidden in (KEY, "word", "a-key-01234", "DATABASE_URL", "postgres"):
        assert hidden not in shown
    assert resolve().base_url is None

    assert "counts from now on" in trust_lines(["llmport.toml"])[0]
    assert resolve().base_url == "https://me:word@evil.example/v1"
    assert "llmport.toml: trusted" in "\n".join(trust_lines([]))
    assert resolve(provider="openai").api_key is None
    trust_lines(["all"])
    assert resolve(provider="openai").api_key is not None or is_trusted(folder / ".env")
    assert trust_lines(["llmport.toml", "--forget"]) == ["llmport.toml: no longer trusted"]
    assert resolve().base_url is None
    with pytest.raises(UsageError, match=r"did you mean `llmport\.toml`"):
        trust_lines(["llmport.tml"])
    with pytest.raises(UsageError, match="which file"):
        trust_lines(["--forget"])


def test_config_tells_every_value_with_its_source(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`%llmport config` shows value, file and line in columns, what is inert, and misspellings."""
    monkeypatch.setenv("LLMPORT_MODLE", "x")
    monkeypatch.setenv("LLMPORT_SEED", "3")
    written(folder, 'temperature = 0.5\ntries = 99\n[llm.grok]\nmodel = "m"\n')

    lines = config_lines([])
    rows = {line.split()[0]: line for line in lines if line.startswith("  ")}
    assert rows["temperature"].split() == ["temperature", "0.5", "llmport.toml,", "line", "1"]
    assert rows["seed"].split() == ["seed", "3", "LLMPORT_SEED"]
    starts = {line.index("default") for line in lines if line.endswith(" default")}
    assert len(starts) == 1
    assert max(map(len, lines)) < 100
    shown = "\n".join(lines)
    assert "not used until `%llmport trust` allows it:\n  tries  99  llmport.toml, line 2" in shown
    assert "no provider is called `grok`" in shown
    assert "did you mean `groq`" in shown
    assert "`LLMPORT_MODLE` in the environment is no setting: did you mean `LLMPORT_MODE`" in shown


def test_one_setting_is_shown_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`%llmport config temperature` shows that one, and a near name is helped."""
    monkeypatch.setenv("LLMPORT_TEMPERATURE", "0.2")

    assert config_lines(["temperature"]) == ["  temperature  0.2  LLMPORT_TEMPERATURE"]
    with pytest.raises(UsageError, match="no setting `temprature`: did you mean `temperature`"):
        config_lines(["temprature"])
    with pytest.raises(UsageError, match="did you mean `openai`"):
        config_lines(["opnai"])


def test_without_a_settings_file_all_says_so(folder: Path) -> None:
    """`%llmport trust all` in a folder without settings files says that there is none."""
    assert trust_lines(["all"]) == ["no settings file was found in the project's folder"]


def test_slips_in_files_of_others_are_told(folder: Path) -> None:
    """Names that mean nothing in `.env` and `loom.toml`, and files that do not count, are told."""
    slips = "# ours\nLLMPORT_PROVDER=groq\nexport LLMPORT_MODEL m\nPORT 1\nGROQ_API_KEY=\n"
    (folder / ".env").write_text(slips, "utf-8")
    (folder / "loom.toml").write_text('[llm.groq]\nmodle = "m"\nplugin = "p"\n', "utf-8")
    (folder / "llmport.yaml").write_text("provider: groq\n", "utf-8")
    told = [
        "`LLMPORT_PROVDER` in .env, line 2 is no setting: did you mean `LLMPORT_PROVIDER`?",
        "`LLMPORT_MODEL` in .env, line 3 has no `=`: it is not read",
        "`modle` in loom.toml, line 2 is no setting: did you mean `model`?",
        "llmport.yaml counts only where it is named: set LLMPORT_CONFIG, or write an llmport.toml",
    ]

    assert config_lines([])[-4:] == told
    status = status_lines(resolve(), session())
    assert f"note       {told[0]}; `%llmport config` tells 3 more" in status


def test_slips_in_a_named_file_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `.env` file that is named is looked through as those of the project are."""
    (folder / "mine.env").write_text("LLMPORT_SEED=3\nLLMPORT_SED=3\n", "utf-8")
    monkeypatch.setenv("LLMPORT_CONFIG", "mine.env")

    assert resolve().seed == 3
    assert "`LLMPORT_SED` in mine.env, line 2 is no setting: did you mean" in config_lines([])[-1]


def test_a_providers_table_in_the_wrong_place_is_helped(folder: Path) -> None:
    """`[groq]` at the top of a settings file is refused with the table that is meant."""
    written(folder, '[groq]\nmodel = "m"\n')

    with pytest.raises(ConfigError, match=r"line 1: the table of a provider is `\[llm\.groq\]`"):
        resolve()


def test_config_of_a_provider_tells_of_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """`%llmport config openai` tells if there is a key, from where, and whether it is withheld."""
    from llmport_magic.settings import configure

    assert "missing" in config_lines(["openai"])[1]
    assert "OPENAI_API_KEY" in config_lines(["openai"])[1]
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    line = config_lines(["openai"])[1]
    assert line.split() == ["api_key", "********", "OPENAI_API_KEY"]
    configure(provider="openai", base_url="https://other.example/v1")
    shown = "\n".join(config_lines(["openai"]))
    assert "withheld" in shown
    assert "was set for https://api.openai.com, not for https://other.example" in shown
    assert KEY not in shown
    with pytest.raises(UsageError, match="groq"):
        config_lines(["groqq"])


def test_no_message_of_a_front_end_can_trust(folder: Path) -> None:
    """The panel's protocol knows no word for trust or settings: such a message is dropped."""
    from llmport_magic.notebook.comm import _REQUESTS, check_message

    assert sorted(_REQUESTS) == ["cancel", "generate", "hello", "placed"]
    path = written(folder, "tries = 9\n")
    for kind in ("trust", "config", "configure", "command", "run"):
        assert check_message({"v": 1, "type": kind, "id": "1", "file": str(path)}) is None
    asked = {"v": 1, "type": "generate", "id": "1", "name": None, "prompt": "%llmport trust all"}
    rest = {"provider": None, "model": None, "update": False, "cell_id": None, "trust": "always"}
    taken = check_message(asked | rest)
    assert taken is not None
    assert "trust" not in taken
