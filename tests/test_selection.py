"""Running a cell selects the version it stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmport_magic.errors import ConflictError, ModuleNotStoredError
from llmport_magic.modules.selection import (
    CellPrompt,
    Decision,
    select_for_cell,
    select_for_prompt,
)
from llmport_magic.modules.store import ModuleStore
from llmport_magic.modules.version import NewVersion, Version, version_id, version_key


class Notebook:
    """A store, and what is current in a session over it."""

    def __init__(self, folder: Path) -> None:
        self.store = ModuleStore(folder)
        self.current: Version | None = None
        self.calls = 0

    def prompt(self, text: str, *, update: bool = False, regenerate: bool = False) -> Version:
        """Run a prompt cell; where it calls, the answer is named after the prompt."""
        cell = CellPrompt(
            name="circle", prompt=text, options={}, update=update, regenerate=regenerate
        )
        decision = select_for_prompt(self.store, cell, self.current)
        if decision.act == "reuse":
            assert decision.version is not None
            return self.select(decision.version)
        assert decision.act == "call"
        self.calls += 1
        origin = "update" if update else "prompt"
        return self.add(f"# {text} {self.calls}\n", decision, prompt=text, origin=origin)

    def cell(self, base: Version, source: str, *, same_cell: bool = False) -> Version:
        """Run a module cell."""
        decision = select_for_cell(
            self.store,
            name="circle",
            base=base.id,
            source=source,
            current=self.current,
            same_cell=same_cell,
        )
        if decision.version is not None:
            return self.select(decision.version)
        return self.add(source, decision, prompt="", origin="cell")

    def add(self, source: str, decision: Decision, *, prompt: str, origin: str) -> Version:
        """Store a version and make it current."""
        parent = decision.parent.id if decision.parent else None
        new = NewVersion(
            name="circle",
            source=source,
            key=decision.key,
            parent=parent,
            origin=origin,
            prompt=prompt,
        )
        return self.select(self.store.add(new))

    def select(self, version: Version) -> Version:
        """Make a version current, on disk too."""
        self.store.write_current(version)
        self.current = version
        return version

    def restart(self) -> None:
        """Forget what was current, as a new kernel does."""
        self.current = None


@pytest.fixture
def book(tmp_path: Path) -> Notebook:
    """Give an empty notebook."""
    return Notebook(tmp_path)


def test_running_all_again_calls_nobody(book: Notebook) -> None:
    """Run All over P1, M1, U2, M2, twice more and after a restart: no call, same end (S0-06)."""

    def run_all() -> Version:
        first = book.prompt("area")
        assert book.cell(first, first.source).id == first.id
        second = book.prompt("sector", update=True)
        assert book.cell(second, second.source).id == second.id
        return second

    end = run_all()
    assert book.calls == 2
    assert run_all().id == end.id
    book.restart()
    assert run_all().id == end.id
    assert book.calls == 2


def test_a_hand_edit_stays_on_run_all(book: Notebook) -> None:
    """After M1 is edited, Run All selects the edit for P1 and M1 (S0-06)."""
    first = book.prompt("area")
    edit = book.cell(first, "# mine\n")
    assert book.prompt("area").id == edit.id
    assert book.cell(first, "# mine\n").id == edit.id
    assert book.calls == 1


def test_what_the_panel_made_can_be_updated_before_its_cell_ran(book: Notebook) -> None:
    """An update of a module that is stored, but not registered yet, builds on it (S0-42)."""
    first = book.prompt("area")
    book.current = None
    assert book.prompt("sector", update=True).parent == first.id


def test_an_update_cell_run_twice_is_one_update(book: Notebook) -> None:
    """Running only the update cell again selects its version, it does not update twice (S0-07)."""
    book.prompt("area")
    second = book.prompt("sector", update=True)
    assert book.prompt("sector", update=True).id == second.id
    assert book.calls == 2


def test_a_changed_prompt_does_not_leave_an_edit_behind(book: Notebook) -> None:
    """A changed prompt is refused with the two ways on when the current text is edited by hand."""
    first = book.prompt("area")
    book.cell(first, "# mine\n")
    with pytest.raises(ConflictError, match=r"--update.*--regenerate"):
        book.prompt("area and perimeter")
    assert book.prompt("area and perimeter", regenerate=True).parent is None


def test_a_changed_prompt_makes_a_new_root(book: Notebook) -> None:
    """Another prompt is another version, and the first one stays retrievable (S0-06)."""
    first = book.prompt("area")
    second = book.prompt("area and perimeter")
    assert second.parent is None
    assert book.prompt("area").id == first.id
    assert len(book.store.versions("circle")) == 2


def test_an_edit_of_an_old_version_is_refused(book: Notebook) -> None:
    """New text on a version that is not current any more is a conflict."""
    first = book.prompt("area")
    book.prompt("sector", update=True)
    with pytest.raises(ConflictError, match="--base"):
        book.cell(first, "# an edit of the old text\n")


def test_a_text_on_a_version_that_is_not_stored_is_refused(book: Notebook) -> None:
    """Where the store has versions, a text on none of them is a conflict that names the way on."""
    first = book.prompt("area")
    book.restart()
    with pytest.raises(ConflictError, match=rf"`circle` `dead.*v1 is current.*--base {first.id}"):
        select_for_cell(
            book.store, name="circle", base="deadbeefdeadbeef", source="# new\n", current=None
        )


def test_a_cell_that_travelled_without_its_store_runs(book: Notebook) -> None:
    """A cell that holds what its base names is taken, whatever the store here has by now."""
    first = book.prompt("area")
    base = version_id(version_key("circle", first.id, "sector", {}), "# sector\n")
    decision = select_for_cell(
        book.store, name="circle", base=base, source="# sector\n", current=first
    )
    assert (decision.act, decision.parent) == ("store", first)
    taken = book.add("# sector\n", decision, prompt="", origin="cell")
    edited = select_for_cell(
        book.store, name="circle", base=base, source="# mine\n", current=taken, same_cell=True
    )
    assert (edited.act, edited.parent) == ("store", taken)


def test_one_cell_can_be_edited_twice(book: Notebook) -> None:
    """A second edit of the same cell follows the first although its base line is older."""
    first = book.prompt("area")
    one = book.cell(first, "# one\n")
    two = book.cell(first, "# two\n", same_cell=True)
    assert two.parent == one.id


def test_a_superseded_cell_does_nothing(book: Notebook) -> None:
    """A module cell whose prompt cell has made a newer version does not undo it."""
    first = book.prompt("area")
    second = book.prompt("area and perimeter")
    decision = select_for_cell(
        book.store,
        name="circle",
        base=first.id,
        source=first.source,
        current=second,
        superseded=frozenset({first.id}),
    )
    assert decision.act == "nothing"
    assert "delete this cell" in decision.notice


def test_a_version_that_was_gone_back_to_is_no_superseded_one(book: Notebook) -> None:
    """After a rollback the cell of the version that is current again selects it."""
    first = book.prompt("area")
    book.prompt("area and perimeter")
    decision = select_for_cell(
        book.store,
        name="circle",
        base=first.id,
        source=first.source,
        current=book.store.get("circle", first.id),
        superseded=frozenset({first.id}),
    )
    assert (decision.act, decision.version) == ("reuse", first)


def test_a_foreign_file_is_adopted_and_never_lost(book: Notebook, tmp_path: Path) -> None:
    """A file that we did not make is imported, and an update keeps its text as version 0."""
    (tmp_path / "circle.py").write_text("mine = 1\n", encoding="utf-8")
    cell = CellPrompt(name="circle", prompt="area", options={})
    assert select_for_prompt(book.store, cell, None).act == "adopt"
    updated = book.prompt("sector", update=True)
    zero = book.store.get("circle", updated.parent or "")
    assert zero is not None
    assert (zero.number, zero.source) == (0, "mine = 1\n")


def test_an_update_that_failed_begins_with_the_saved_text_again(
    book: Notebook, tmp_path: Path
) -> None:
    """What the user saved is what an update changes, also where a first one got no answer."""
    first = book.prompt("area")
    (tmp_path / "circle.py").write_text("def area(:\n", encoding="utf-8")
    cell = CellPrompt(name="circle", prompt="sector", options={}, update=True)
    unanswered = select_for_prompt(book.store, cell, first)
    assert unanswered.parent is not None
    assert unanswered.parent.source == "def area(:\n"
    again = book.prompt("sector", update=True)
    assert again.parent == unanswered.parent.id


def test_regenerating_over_a_foreign_file_keeps_it(book: Notebook, tmp_path: Path) -> None:
    """`--regenerate` over a foreign file stores its text before it is replaced (S0-06)."""
    (tmp_path / "circle.py").write_text("mine = 1\n", encoding="utf-8")
    book.prompt("area", regenerate=True)
    assert book.store.versions("circle")[0].number == 0
    assert (tmp_path / "circle.py").read_text(encoding="utf-8").startswith("# area")


def test_updating_nothing_names_the_file(book: Notebook, tmp_path: Path) -> None:
    """An update of a missing module is a FileNotFoundError with the path and the way on (S0-08)."""
    with pytest.raises(FileNotFoundError, match=r"circle\.py.*%%llmport circle") as caught:
        book.prompt("sector", update=True)
    assert isinstance(caught.value, ModuleNotStoredError)


def test_the_key_ignores_the_ambient_provider() -> None:
    """A version's key holds name, parent, prompt and the cell's options, nothing else (S0-05)."""
    assert version_key("a", "", "p", {}) == version_key("a", "", "p", {})
    others = [
        version_key("b", "", "p", {}),
        version_key("a", "x", "p", {}),
        version_key("a", "", "q", {}),
        version_key("a", "", "p", {"provider": "groq"}),
    ]
    assert version_key("a", "", "p", {}) not in others
