"""The examples that a module answers to, and what an update does to those of before.

An update is asked for and judged by its own prompt. What earlier prompts proved is run after it,
in checks of their own, and told: an update may change behaviour, but not without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from llmport_magic.attempts import check_module
from llmport_magic.progress import ModuleRequest, Noted
from llmport_magic.session import Session

if TYPE_CHECKING:
    from llmport_magic.modules.examples import Example
    from llmport_magic.modules.store import ModuleStore
    from llmport_magic.modules.verdict import ExampleOutcome, Verdict
    from llmport_magic.modules.version import Version

# More than these are counted only: it is one line.
_MOST_NAMED = 2


def examples_of(store: ModuleStore, version: Version) -> tuple[Example, ...]:
    """Give the examples that a version answers to: those of the nearest prompt it comes from.

    That is its own prompt, or of a hand edit the prompt whose code was edited. What earlier
    prompts had is not among them: see `examples_of_before`.
    """
    from llmport_magic.modules.examples import parse_examples

    for ancestor in store.lineage(version):
        if ancestor.prompt:
            return tuple(parse_examples(ancestor.prompt))
    return ()


async def examples_of_before(
    request: ModuleRequest, session: Session, parent: Version, source: str
) -> tuple[Noted, ...]:
    """Run the examples of an update's ancestors on it; says in one line what came of them.

    Those of one prompt run together and in their order, as they did when they were asked for.
    Only what held before can be broken: an example that fails on the parent, too, is left out.

    Args:
        request: the update; an expression that stands in its prompt is not looked for elsewhere.
        session: this process's memory.
        parent: the version that was changed.
        source: the new code, which has passed its own checks.

    Returns:
        What to tell; nothing where there is no example of before. Only broken ones warn a script.
    """
    from llmport_magic.modules.trial.samples import named_variables

    store = session.store(request.settings)
    variables = named_variables(store.lineage(parent))

    async def check(text: str, examples: Sequence[Example], *, consent: bool = False) -> Verdict:
        return await check_module(
            text, parent.name, examples, request.settings, consent=consent, variables=variables
        )

    found: list[ExampleOutcome] = []
    for examples, counted in _by_prompt(store, parent, request.prompt):
        now = (await check(source, examples)).examples
        if any(each.status == "failed" for each in now):
            before = await check(parent.source, examples, consent=parent.consented)
            failed = {n for n, each in enumerate(before.examples) if each.status == "failed"}
            now = () if before.broken else tuple(e for n, e in enumerate(now) if n not in failed)
        found += [each for each in now if each.source in counted]
    back = "" if request.draft else f"%llmport rollback {parent.name} v{parent.number}"
    broken = any(each.status == "failed" for each in found)
    return (Noted(_in_one_line(found, back), warns=broken),) if found else ()


def _by_prompt(
    store: ModuleStore, parent: Version, prompt: str
) -> Iterator[tuple[tuple[Example, ...], set[str]]]:
    """Give the examples of each earlier prompt, the newest first, and which of them count there.

    Those that stand in a newer prompt, too, still run, for what later ones need of them.
    """
    from llmport_magic.modules.examples import parse_examples

    known = {each.source for each in parse_examples(prompt)}
    for ancestor in store.lineage(parent):
        examples = parse_examples(ancestor.prompt)
        counted = {each.source for each in examples} - known
        known |= counted
        if counted:
            yield examples, counted


def _in_one_line(found: Sequence[ExampleOutcome], back: str) -> str:
    from llmport_magic.modules.comparison import one_line
    from llmport_magic.secrets import redact

    failed = [each for each in found if each.status == "failed"]
    ran = sum(each.status != "not run" for each in found)
    skipped = len(found) - ran
    if not ran:
        return f"{_counted(skipped)} of before not run: {found[0].reason}"
    rest = f", {skipped} not run" if skipped else ""
    if not failed:
        said = f"the {ran} examples of before hold" if ran > 1 else "the example of before holds"
        return said + rest
    told = [
        f"`{one_line(each.source, 80)}` {each.came}, was {each.wanted}"
        for each in failed[:_MOST_NAMED]
    ]
    told += [f"`{back}` goes back"] if back else []
    verb = "holds" if len(failed) == 1 else "hold"
    what = f"{len(failed)} of {_counted(ran)} of before no longer {verb}{rest}"
    return redact(f"{what}: {'; '.join(told)}")


def _counted(number: int) -> str:
    return f"{number} example{'s'[: number > 1]}"
