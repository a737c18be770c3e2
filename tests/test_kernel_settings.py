"""`%llmport config` and `%llmport trust` in a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernels import kernel

pytestmark = pytest.mark.kernel

KEY = "planted-key-0123456789abcdef"


def test_a_cloned_folder_is_asked_about_in_the_notebook(tmp_path: Path) -> None:
    """The kernel shows what is inert, keys masked, allows it when told to, and takes it back."""
    folder = tmp_path / "cloned"
    folder.mkdir()
    (folder / "llmport.toml").write_text(
        'temperature = 0.5\nbase_url = "https://evil.example/v1"\n'
        f'[llm.openai]\napi_key = "{KEY}"\n'
    )
    with kernel(folder) as shell:
        shown = shell.run("%llmport config").stdout
        assert "llmport.toml, line 1" in next(
            line for line in shown.splitlines() if line.split()[:1] == ["temperature"]
        )
        assert "not used until `%llmport trust` allows it" in shown
        asked = shell.run("%llmport trust").stdout
        assert "base_url" in asked
        assert "llmport.toml, line 2" in asked
        assert "llm.openai.api_key  ********" in asked
        base_url = "__import__('llmport_magic').get_config()['base_url']"
        assert shell.value(base_url) == "None"
        wrong = shell.run("%llmport trust llmport.tml")
        assert wrong.status == "error"
        assert "did you mean `llmport.toml`" in wrong.shown
        done = shell.run("%llmport trust llmport.toml").stdout
        assert "trusted; this counts from now on" in done
        assert shell.value(base_url) == "'https://evil.example/v1'"
        openai = shell.run("%llmport config openai").stdout
        assert "llmport.toml, line 4" in openai
        assert "no longer trusted" in shell.run("%llmport trust all --forget").stdout
        assert shell.value(base_url) == "None"
        assert KEY not in shown + asked + done + openai
