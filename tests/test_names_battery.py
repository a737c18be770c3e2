"""Names that nobody listed: what is refused wrote nothing, what is taken shadows nothing."""

# Look-alikes are what this is about.
from __future__ import annotations

import builtins
import contextlib
import keyword
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmport_magic.api import llmport
from llmport_magic.errors import LLMPortError, ModuleNameError
from llmport_magic.modules.names import MAX_LENGTH, check_module_name
from llmport_magic.modules.packages import installed_names, well_known_names

_PIECES = [
    *("con", "nul", "COM", "¹", "²", "..", "/", "\\", "\0", "\n", "\u202e", "\u200b", "ﬁ", "𝐨𝐬"),
    *("os", "json", "numpy", "class", "__", "_", "ı", "İ", "ß", "ſys", "K", "naïve", "名", "9"),
]
_NAMES = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(_PIECES), max_size=4).map("".join),
    st.sampled_from(sorted(sys.stdlib_module_names)).map(str.upper),
    st.sampled_from(sorted(well_known_names())),
    st.from_regex(r"[a-z_][a-z0-9_]{0,55}", fullmatch=True),
)
WINDOWS = ("con", "prn", "aux", "nul", "com1", "lpt9", "com¹", "lpt³", "CON", "Com7")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a module folder in which files differ from names by case only."""
    path = tmp_path_factory.mktemp("modules")
    for taken in ("Straße.py", "Circle.PY", "ÄPFEL.py", "Taken.py"):
        (path / taken).write_text("")
    return path


@settings(max_examples=400, deadline=None)
@given(name=_NAMES)
@example(name="ﬁle")
@example(name="\u212aelvin")
@example(name="ſys")
def test_a_name_shadows_nothing_or_is_refused(folder: Path, name: str) -> None:
    """Any text is a name that means nothing else, as Python reads it, or refused (S0-30)."""
    before = sorted(folder.rglob("*"))
    try:
        taken = check_module_name(name, directory=folder)
    except ModuleNameError as error:
        said = str(error)
    else:
        said = ""
    assert sorted(folder.rglob("*")) == before
    assert said.isprintable()
    if said:
        return

    folded = taken.casefold()
    assert taken == unicodedata.normalize("NFKC", name)
    assert taken.isidentifier()
    assert len(taken) <= MAX_LENGTH
    assert not keyword.iskeyword(taken)
    assert not hasattr(builtins, taken)
    assert folded not in {each.casefold() for each in sys.stdlib_module_names}
    assert folded not in installed_names() | well_known_names()
    assert folded not in {each.casefold() for each in WINDOWS}
    assert folded not in {"strasse", "circle", "äpfel", "taken"} or f"{taken}.py" in {
        each.name for each in before
    }


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *[(name, "meaning of its own") for name in WINDOWS if name.isidentifier()],
        ("circle", "case"), ("STRASSE", "case"), ("äpfel", "case"), ("TAKEN", "case"),
        ("\u212aeras", "package"), ("𝐣𝐬𝐨𝐧", "standard library"), ("x" * 51, "longer"),
        ("langgraph", "well-known"), ("Boto3", "well-known"), ("xgboost", "well-known"),
    ],
)  # fmt: skip
def test_the_reason_is_the_right_one(folder: Path, name: str, reason: str) -> None:
    """Devices, clashes of case, look-alikes and known packages are told apart (S0-30)."""
    with pytest.raises(ModuleNameError, match=reason):
        check_module_name(name, directory=folder)


@pytest.mark.parametrize(
    "name",
    ["../x", "/tmp/x", "a.b", "", "1x", "class", "json", "numpy", "con", "x\0y", "a/../../b", "~x",
     "file:x", "x.py", "\u202ecircle", "x" * 300, "sitecustomize", "__init__", "-rf", "$(touch x)"],
)  # fmt: skip
def test_nothing_is_written_for_a_bad_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A call with a bad name asks nobody and leaves no file, not even a log of it (S0-30)."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    with contextlib.suppress(ModuleNameError), pytest.raises(LLMPortError) as caught:
        llmport(name, "area of a circle", provider="mock", log=False)

    assert caught.type is ModuleNameError
    assert [each.relative_to(tmp_path).name for each in tmp_path.rglob("*.py")] == []
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["timer", "results", "agents", "circle", "sales_by_month", "events"]
)
def test_everyday_words_stay_free(tmp_path: Path, name: str) -> None:
    """A module may have an everyday name, though some package has it, too (S0-30)."""
    assert check_module_name(name, directory=tmp_path) == name
