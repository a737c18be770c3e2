"""The policy over modules of published packages and over what real models answered."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from corpus import published

from llmport_magic.errors import LLMOutputError, VerificationError
from llmport_magic.modules.extraction import extract_module
from llmport_magic.modules.policy.review import Finding, assess

_FOLDER = Path(__file__).parent / "corpus"
_LABELS = tomllib.loads((_FOLDER / "labels.toml").read_text("utf-8"))
_MOST = 0.02


@dataclass(frozen=True)
class Judged:
    """A module of the corpus, and what the policy found that is so and that is not."""

    source: str
    name: str
    found: tuple[Finding, ...]
    true: tuple[Finding, ...]

    @property
    def false_ask(self) -> bool:
        """Whether the module would be asked about less, were only said what is so."""
        return _outcome(self.found) != _outcome(self.true)


def _outcome(findings: tuple[Finding, ...]) -> str:
    severities = {found.severity for found in findings}
    return "refuse" if "refuse" in severities else "ask" if severities else "clean"


def _texts() -> Iterator[tuple[str, str, str, bool]]:
    for name, path, text in published.modules():
        yield name, path, text, False
    for line in (_FOLDER / "embedded.jsonl").read_text("utf-8").splitlines():
        answer = json.loads(line)
        try:
            text = extract_module(answer["answer"], finish_reason=answer["finish_reason"])
        except (LLMOutputError, VerificationError):
            continue
        yield answer["id"][:4], answer["id"], text, answer["kind"] == "cell"


def _is_so(name: str, source: str, found: Finding) -> bool:
    """Look a finding up: by line in the release that was read, by its words in another one."""
    told = _LABELS.get(name, {}).get("found", ())
    read = _LABELS["releases"].get(source)
    if read is None or read == metadata.version(source):
        return f"{found.line}: {found.message}" in told
    return found.message in {line.partition(": ")[2] for line in told}


@cache
def _corpus() -> tuple[Judged, ...]:
    judged = []
    for source, name, text, is_cell in _texts():
        # Effects are what the code of a plain cell is for.
        found = tuple(f for f in assess(text).findings if not (is_cell and f.at_import))
        true = tuple(f for f in found if _is_so(name, source, f))
        judged.append(Judged(source, name, found, true))
    return tuple(judged)


def test_few_modules_are_asked_about_without_reason() -> None:
    """Of at least 200 modules, published or written by models, ≤ 2 % are asked in vain (V63)."""
    corpus = _corpus()

    false = [module.name for module in corpus if module.false_ask]

    assert len(corpus) >= 200
    assert {"pandas", "matplotlib", "requests", "0.5b", "1.5b"} <= {m.source for m in corpus}
    assert len(false) <= _MOST * len(corpus), false


@pytest.mark.parametrize("kind", ["model", "package"])
def test_neither_kind_of_module_hides_behind_the_other(kind: str) -> None:
    """Models' modules by themselves keep the bound, and so do packages by themselves (V63)."""
    modules = [m for m in _corpus() if (m.source in {"0.5b", "1.5b"}) == (kind == "model")]

    false = [module.name for module in modules if module.false_ask]

    assert len(modules) >= 50
    assert len(false) <= _MOST * len(modules), false


def test_labels_are_of_modules_that_are_looked_at() -> None:
    """Every label belongs to a module of the corpus and gives its reason."""
    names = {module.name for module in _corpus()}
    labels = {name: label for name, label in _LABELS.items() if name != "releases"}
    read = {n for n, version in _LABELS["releases"].items() if metadata.version(n) == version}

    assert all(label["because"] for label in labels.values())
    if read == set(published.DISTRIBUTIONS):
        assert set(labels) <= names


def report() -> str:
    """Count the corpus by source: modules, asked about, and of these without reason."""
    modules, asked, false = Counter[str](), Counter[str](), Counter[str]()
    for module in _corpus():
        modules[module.source] += 1
        asked[module.source] += bool(module.found)
        false[module.source] += module.false_ask
    rows = [f"{s:12} {n:4} {asked[s]:4} {false[s]:4}" for s, n in modules.items()]
    total = f"{'all':12} {modules.total():4} {asked.total():4} {false.total():4}"
    return "\n".join([*rows, total])


if __name__ == "__main__":
    print(report())  # noqa: T201 - what it is run for
