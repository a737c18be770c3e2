"""`%llmport config` and `%llmport trust`: what is set and by whom, and what a project may say."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import ConfigError, UsageError
from llmport_magic.secrets import MASK, Secret, redact_address
from llmport_magic.settings import (
    OF_A_PROVIDER,
    Held,
    Settings,
    administration,
    distrust,
    held_back,
    is_trusted,
    project_files,
    resolve,
    setting_names,
    trust,
    unknown_names,
)

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import Provider

_WIDEST = 40


def config_lines(words: list[str]) -> list[str]:
    """Give every setting with its value and source, or those and the providers that are named.

    Raises:
        UsageError: there is neither a provider nor a setting of such a name.
        ConfigError: the settings cannot be read.
    """
    settings = resolve()
    rows = {name: (name, v, settings.source(name)) for name, v in settings.values().items()}
    if words:
        asked = (
            _table([rows[word]]) if word in rows else _of_provider(_row(word), settings)
            for word in words
        )
        return [line for lines in asked for line in lines]
    return [*_table(rows.values()), *_rules(), *_notes(settings)]


def _of_provider(row: Provider, settings: Settings) -> list[str]:
    """Give what one provider would be asked with."""
    from llmport_magic.llm.provider_settings import headers_of, key_of, refusal_of, settings_of
    from llmport_magic.llm.registry import choose_provider

    try:
        chosen = choose_provider(settings)[0]
    except ConfigError:
        chosen = ""
    settings = settings if chosen == row.name else resolve(provider=row.name)
    own = settings_of(row, settings)
    key = key_of(row, own)
    state, told = MASK if key.secret else "missing", key.source
    if key.withheld:
        state, told = "withheld", key.withheld
    elif not key.secret:
        variables = " or ".join(row.api_key_vars)
        told = f"set {variables}" if variables else "it needs none"
    if not key.secret and not row.key_required and not key.withheld:
        state = "not needed"
    names = [name for name in OF_A_PROVIDER if name != "api_key"]
    rows = [(name, getattr(own, name), own.source(name)) for name in names]
    lines = [row.name, *_table([("api_key", state, told), *rows])]
    try:
        headers_of(row, own)
    except ConfigError as error:
        lines.append(f"withheld: {error}")
    refusal = refusal_of(row, settings)
    return [*lines, *([f"refused: {refusal}"] if refusal else [])]


def _row(word: str) -> Provider:
    from llmport_magic.llm.registry import default_registry

    try:
        return default_registry().provider(word)
    except ConfigError as error:
        near = difflib.get_close_matches(word, setting_names(), n=1, cutoff=0.75)
        what = f"there is no setting `{word}`: did you mean `{near[0]}`?" if near else str(error)
        raise UsageError(what) from None


def _rules() -> list[str]:
    """Give the administrator's rules, where there are some."""
    rules = administration()
    told = {
        "providers": rules.providers,
        "base_urls": rules.base_urls,
        "trust at most": rules.trust if rules.trust != "always" else None,
        "embedded": None if rules.embedded else "not allowed",
        "project files": None if rules.project_files else "never trusted",
    }
    rows = [(name, value, _short(rules.path)) for name, value in told.items() if value is not None]
    return ["", "the administrator allows only", *_table(rows)] if rows else []


def _notes(settings: Settings) -> Iterator[str]:
    """Tell of what is written somewhere and not used."""
    held = [each for path in _untrusted() for each in _held(path)]
    if held:
        yield from ("", "not used until `%llmport trust` allows it:")
        yield from _held_table(held)
    yield from unknown(settings)


def unknown(settings: Settings) -> Iterator[str]:
    """Tell of each name that stands where settings are looked for and means nothing.

    Args:
        settings: as they resolve.
    """
    from llmport_magic.llm.registry import default_registry

    return unknown_names(settings, [row.name for row in default_registry().providers()], _short)


def trust_lines(words: list[str]) -> list[str]:
    """Show what files of the project want to say; allow those that are named, or forget them.

    Raises:
        UsageError: no such file was found.
        ConfigError: the administrator forbids it, or a file cannot be read.
    """
    forget = "--forget" in words
    words = [word for word in words if word != "--forget"]
    files = project_files()
    if not words:
        if forget:
            raise UsageError("which file? `%llmport trust FILE --forget`, or `all`")
        return [line for path in files for line in _described(path)] + [_how_on(files)]
    if words == ["all"] and not files:
        return [_how_on(files)]
    named = files if words == ["all"] else [_found(word, files) for word in words]
    return [line for path in named for line in (_forgotten(path) if forget else _trusted(path))]


def _described(path: Path) -> list[str]:
    held, trusted = _held(path), is_trusted(path)
    if not held:
        return [f"{_short(path)}: says nothing that needs trust"]
    state = "trusted" if trusted else "not trusted; this is not used"
    return [
        f"{_short(path)}: {state}",
        *_held_table(held),
    ]


def _how_on(files: list[Path]) -> str:
    if not files:
        return "no settings file was found in the project's folder"
    if not _untrusted():
        return "`%llmport trust FILE --forget` takes the trust in a file back"
    return (
        "read it, then allow it with `%llmport trust FILE` or `%llmport trust all`; a file that "
        "changes afterwards has to be allowed anew"
    )


def _trusted(path: Path) -> list[str]:
    held = _held(path)
    trust(path)
    if not held:
        return [f"{_short(path)}: trusted; it says nothing that needed it"]
    rows = _held_table(held)
    return [f"{_short(path)}: trusted; this counts from now on", *rows]


def _forgotten(path: Path) -> list[str]:
    was = distrust(path)
    return [f"{_short(path)}: {'no longer trusted' if was else 'was not trusted'}"]


def _found(word: str, files: list[Path]) -> Path:
    for path in files:
        if word == path.name or Path(word).expanduser().resolve() == path.resolve():
            return path
    names = [path.name for path in files]
    near = difflib.get_close_matches(word, names, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"there is {', '.join(names) or 'none'}"
    raise UsageError(f"`{word}` is no settings file of this project: {hint}")


def _untrusted() -> list[Path]:
    return [path for path in project_files() if not is_trusted(path) and _held(path)]


def _held(path: Path) -> list[Held]:
    """Name what a file says that needs trust, without the variables of other programs."""
    from llmport_magic.llm.registry import default_registry

    names: set[str] = set()
    for row in default_registry().providers():
        names |= {*row.api_key_vars, row.host_env_var or "", row.model_env_var or ""}
    ours = ("LLMPORT_LLM__", "MINDX_LLM__")
    return [
        each
        for each in held_back(path)
        if each.setting or each.name in names or each.name.startswith(ours)
    ]


def _held_table(held: Iterable[Held]) -> list[str]:
    """Write what needs trust, whole: the user is to judge it."""
    return _table(((each.name, each.value, each.place) for each in held), widest=1_000)


def _table(rows: Iterable[tuple[str, Any, str]], widest: int = _WIDEST) -> list[str]:
    """Align names and values; what is too long is cut, and a source never is."""
    cells = [(name, _cut(shown(value), widest), _short(source)) for name, value, source in rows]
    first = max((len(name) for name, _, _ in cells), default=0)
    second = max((len(value) for _, value, _ in cells), default=0)
    return [
        f"  {name:<{first}}  {value:<{second}}  {source}".rstrip() for name, value, source in cells
    ]


def shown(value: Any) -> str:
    """Write a value for the user's eyes, without any key."""
    if value is None:
        return ""
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {shown(part)}" for name, part in value.items())
    if isinstance(value, (tuple, list)):
        return ", ".join(map(shown, value))
    return " ".join(redact_address(str(value)).split())


def _cut(text: str, widest: int) -> str:
    return text if len(text) <= widest else f"{text[: widest - 1]}…"


def _short(place: str | Path) -> str:
    """Write a place with a shorter path: from here, or from the user's home."""
    text = str(place)
    for folder, sign in ((str(Path().absolute()), ""), (str(Path.home()), "~/")):
        if text.startswith(folder + "/"):
            return sign + text[len(folder) + 1 :]
    return text
