"""What the administrator of the machine allows: `policy.toml` clamps every other source."""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.settings.layer import Given, Layer, Rank
from llmport_magic.settings.origins import lies_below, origin
from llmport_magic.settings.reading import Content, is_there, read_settings
from llmport_magic.settings.tables import layer_of_table

_TRUST = ("never", "ask", "always")
# What these are asked does not leave the machine.
_NOWHERE = ("embedded", "mock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """The administrator's rules.

    Attributes:
        path: of the file.
        providers: that may be asked; `None` is all.
        base_urls: that may be asked: a URL that begins with one of these; `None` is all.
        trust: the most that the setting `trust` may allow.
        trust_place: where the file says that.
        embedded: whether the embedded model may be used.
        project_files: whether a user may trust the settings files of a project.
        forced: settings that nobody can change, by name.
        forced_of: the same for single providers, by their names.
    """

    path: Path
    providers: tuple[str, ...] | None = None
    base_urls: tuple[str, ...] | None = None
    trust: str = "always"
    trust_place: str = ""
    embedded: bool = True
    project_files: bool = True
    forced: Mapping[str, Given] = field(default_factory=dict)
    forced_of: Mapping[str, Mapping[str, Given]] = field(default_factory=dict)

    def refusal(self, provider: str, base_url: str | None = None) -> str | None:
        """Say why a provider may not be asked; `None` where it may.

        Args:
            provider: its name in the registry.
            base_url: where it would be asked; empty where only its own code knows that; `None`
                looks at the name alone.
        """
        name = provider.lower()
        if self.providers is not None and name not in self.providers:
            return f"`{self.path}` does not allow the provider `{name}`: {self._instead()}"
        if name == "embedded" and not self.embedded:
            return f"`{self.path}` does not allow the embedded model"
        if base_url is None or self.base_urls is None or self._may_lead(base_url, name):
            return None
        return (
            f"`{self.path}` does not allow the address of `{name}`: it allows "
            f"{', '.join(self.base_urls) or 'none'}"
        )

    def _may_lead(self, base_url: str, provider: str) -> bool:
        """Tell whether an address is allowed; where nobody knows it, the provider must be named."""
        if not base_url:
            return provider in (*_NOWHERE, *(self.providers or ()))
        found = origin(base_url)
        if provider == "embedded" and found and found[1] == "127.0.0.1":
            return True
        return any(lies_below(base_url, one) for one in self.base_urls or ())

    def check(self, provider: str, base_url: str | None = None) -> None:
        """Refuse a provider or an address that may not be asked.

        Raises:
            ConfigError: with the file that says so.
        """
        refusal = self.refusal(provider, base_url)
        if refusal is not None:
            raise ConfigError(refusal)

    def layer(self, trust: str) -> Layer:
        """Give the rules as the strongest layer.

        Args:
            trust: what the other layers have for that setting.
        """
        values = dict(self.forced)
        if _TRUST.index(trust) > _TRUST.index(self.trust):
            values["trust"] = Given(self.trust, self.trust_place or str(self.path))
        return Layer(
            rank=Rank.POLICY, values=values, providers=self.forced_of, label=str(self.path)
        )

    def _instead(self) -> str:
        return f"it allows {', '.join(self.providers or ()) or 'none'}"


def system_folder() -> Path:
    """Give the folder of the files that count for everybody who uses this environment."""
    return _folder(sys.prefix)


@functools.cache
def _folder(prefix: str) -> Path:
    return Path(prefix) / "etc" / "llmport"


def administration() -> Administration:
    """Read the administrator's rules; without a file everything is allowed.

    Raises:
        ConfigError: the file cannot be used: then nothing is allowed at all.
    """
    global _known
    path = system_folder() / "policy.toml"
    if not is_there(path):
        return Administration(path=path)
    content = read_settings(path)
    if _known is None or _known[0] is not content:
        _known = (content, _rules(content))
    return _known[1]


_known: tuple[Content, Administration] | None = None


_KINDS: dict[str, type] = {
    "providers": list,
    "base_urls": list,
    "trust": str,
    "embedded": bool,
    "project_files": bool,
    "settings": dict,
}
_SHAPES = {list: "a list of texts", str: "a text", bool: "true or false", dict: "a table"}


def _rules(content: Content) -> Administration:
    given: dict[str, Any] = {}
    for name, value in content.table.items():
        place = content.place(name)
        if name not in _KINDS:
            near = difflib.get_close_matches(name, _KINDS, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(_KINDS)}"
            raise ConfigError(f"unknown rule `{name}` in {place}: {hint}")
        if not isinstance(value, _KINDS[name]):
            raise ConfigError(f"`{name}` in {place} must be {_SHAPES[_KINDS[name]]}")
        if isinstance(value, list):
            if not all(isinstance(one, str) for one in value):
                raise ConfigError(f"`{name}` in {place} must be a list of texts")
            given[name] = tuple(one.lower() if name == "providers" else one for one in value)
        else:
            given[name] = value
    if given.get("trust", "ask") not in _TRUST:
        raise ConfigError(f"`trust` in {content.place('trust')} is one of {', '.join(_TRUST)}")
    forced = given.pop("settings", {})
    layer = layer_of_table(
        forced,
        Rank.POLICY,
        str(content.path),
        functools.partial(content.place, "settings"),
    )
    return Administration(
        path=content.path,
        trust_place=content.place("trust"),
        forced=layer.values,
        forced_of=layer.providers,
        **given,
    )
