"""The settings of one provider: what all layers say of it, and whether its key may go there.

A key belongs to the address that its provider had when the key was set: in the same layer, or in
a weaker one. Where a stronger layer names another address, the key stays here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from llmport_magic.errors import ConfigError, MissingKeyError
from llmport_magic.llm.capabilities import ModelFamily
from llmport_magic.llm.credentials import Credentials, Key, missing_key
from llmport_magic.secrets import Secret, hidden, key_variables
from llmport_magic.settings import (
    ProviderNames,
    Rank,
    administration,
    base_url_at,
    origin,
    resolve_for,
)
from llmport_magic.settings.layer import Given

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import Provider
    from llmport_magic.llm.registry import LLMRegistry
    from llmport_magic.settings import Settings
    from llmport_magic.settings.layer import Layer
    from llmport_magic.settings.origins import Origin

_FAMILIES = frozenset(family.value for family in ModelFamily)


def settings_of(row: Provider, settings: Settings, model: str | None = None) -> Settings:
    """Give the settings of a provider, its row being the weakest layer.

    Args:
        row: of the provider.
        settings: what `resolve` gave.
        model: asked when nobody names one; `None` is the row's default model.
    """
    from llmport_magic.llm.addresses import server_url

    found = resolve_for(settings, row.name, _names(row, model))
    if row.host_env_var and found.source("base_url").endswith(row.host_env_var):
        told = server_url(str(found.base_url), row.base_url, row.name)
        found = replace(found, base_url=told)
    return found


def by_own_name(settings: Settings, registry: LLMRegistry) -> Settings:
    """Put a provider's own name in the place of a family of models that the settings name.

    What is set beside `provider = claude` is then Anthropic's.
    """

    def named(layer: Layer) -> Layer:
        said = layer.values.get("provider")
        if said is None or said.value.lower() not in _FAMILIES:
            return layer
        try:
            own = Given(registry.provider(said.value).name, said.source)
        except ConfigError:
            return layer
        return replace(layer, values={**layer.values, "provider": own})

    return replace(settings, layers=tuple(map(named, settings.layers)))


def key_of(
    row: Provider,
    settings: Settings,
    credentials: Credentials | None = None,
) -> Key:
    """Find the key of a provider, and leave out one that was set for another address.

    Args:
        row: of the provider.
        settings: its own, as `settings_of` gives them.
        credentials: of the registry that the row is in; `None` is the one that the package uses.
    """
    if credentials is None:
        from llmport_magic.llm.registry import default_registry

        credentials = default_registry().credentials
    return KeyFinder(row, settings, credentials).find()


def headers_of(row: Provider, settings: Settings) -> dict[str, str | Secret]:
    """Give the headers of a provider's row and of its settings; both go to their address only.

    Args:
        row: of the provider.
        settings: its own, as `settings_of` gives them.

    Raises:
        ConfigError: the settings' headers were set for another address.
    """
    away = origin(settings.base_url or row.base_url) != origin(row.base_url)
    own = {n: v for n, v in row.headers.items() if not (away and isinstance(v, Secret))}
    rank = settings.ranks.get("headers", Rank.ARGUMENT)
    elsewhere = settings.headers and _elsewhere(row, settings, rank)
    if elsewhere:
        raise ConfigError(
            f"`headers` of `{row.name}` ({settings.source('headers')}) were set {elsewhere}: set "
            "them together with `base_url`, or to `{}` for none"
        )
    return {**own, **hidden(settings.headers)}


def refusal_of(row: Provider, settings: Settings) -> str | None:
    """Say why the administrator does not let a provider be asked, where it would be asked now.

    Args:
        row: of the provider.
        settings: what `resolve` gave.
    """
    rules = administration()
    refusal = rules.refusal(row.name)
    if refusal is not None or rules.base_urls is None:
        return refusal
    return rules.refusal(row.name, settings_of(row, settings).base_url or "")


def nobody(candidates: Iterable[Provider], settings: Settings) -> str:
    """Say how somebody could answer, and what lies there unused.

    Args:
        candidates: the rows of those who could, were they set up and allowed.
        settings: what `resolve` gave.
    """
    inert = {name: place for layer in settings.layers for name, place in layer.inert.items()}
    keys = [place for name, place in inert.items() if name.lower().endswith("api_key")]
    if keys:
        return (
            f"nobody can answer: a key in {keys[0]} is not used until `%llmport trust` allows that "
            "file; or set one in the environment"
        )
    allowed = [row for row in candidates if not refusal_of(row, settings)]
    names = [row.name for row in allowed]
    variables = [name for row in allowed if not row.probe for name in row.api_key_vars[:1]]
    able = {
        f"set a key ({', '.join(variables)})": variables,
        "start a local server": any(row.probe for row in allowed),
        "install the embedded model with `%llmport model install`": "embedded" in names,
    }
    nothing = f"`{administration().path}` allows nobody who could: ask who keeps it"
    ways = [way for way, can in able.items() if can] or [nothing]
    return f"nobody can answer: {', '.join(ways[:-1])}{', or ' * (len(ways) > 1)}{ways[-1]}"


def _elsewhere(row: Provider, settings: Settings, rank: Rank) -> str:
    """Tell for which other address something of that rank was set; empty where for this one."""
    if rank >= settings.ranks.get("base_url", Rank.CATALOGUE):
        return ""
    then = base_url_at(settings, row.name, _names(row), rank)
    if row.host_env_var and then and "://" not in then:
        then = settings.base_url
    now = settings.base_url or row.base_url
    if origin(then) == origin(now) or not now:
        return ""
    return f"for {_shown(then)}, not for {_shown(now)}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class KeyFinder:
    """Finds a provider's key for one call, as its settings were when the connector was made.

    Args:
        row: of the provider.
        settings: its own, as `settings_of` gives them.
        credentials: of the registry that the row is in.
    """

    row: Provider
    settings: Settings
    credentials: Credentials
    # By the rank of a key, as it stays for these settings.
    _elsewhere: dict[Rank, str] = field(default_factory=dict)

    @property
    def origin(self) -> Origin | None:
        """The only address to which a key may go."""
        return origin(self.settings.base_url or self.row.base_url)

    @property
    def waits(self) -> bool:
        """Whether looking may take time, as a disk or somebody's manager does."""
        return self.credentials.waits(self.settings)

    def find(self, *, again: bool = False) -> Key:
        """Find the key; see `key_of`.

        Args:
            again: whether what the keyring gave before is asked for anew.
        """
        key, known = self.credentials.find(self.row, self.settings, again=again), self._elsewhere
        if key.rank not in known:
            known[key.rank] = _elsewhere(self.row, self.settings, key.rank)
        if not known[key.rank]:
            return (
                key
                if key.secret or not self.row.key_required
                else replace(key, unused=self._unused())
            )
        source = key.source or " or ".join(key.variables) or "the environment"
        withheld = f"the key of {source} was set {known[key.rank]}"
        return Key(variables=self.row.api_key_vars, withheld=withheld)

    def _unused(self) -> str:
        """Say where a key lies in a file that nobody has trusted; empty where there is none."""
        name, given = self.row.name, self.row.api_key_vars
        names = {f"llm.{name}.api_key", *key_variables(name, given)}
        lying = (item for layer in self.settings.layers for item in layer.inert.items())
        return next((place for inert, place in lying if inert in names), "")

    def needed(self, *, own: bool) -> Key:
        """Find the key, and ask the user for it where it is missing and may be asked for.

        Args:
            own: whether the user has a registry at hand to give the key to.

        Raises:
            MissingKeyError: there is none, and the provider needs one.
        """
        key = self.find()
        if key.secret is not None or not self.row.key_required:
            return key
        if self.credentials.ask(self.row, self.settings):
            key = self.find()
        if key.secret is None:
            name = self.row.name
            raise MissingKeyError(missing_key(name, key, own=own), provider=name)
        return key


def _names(row: Provider, model: str | None = None) -> ProviderNames:
    return ProviderNames(
        model=(row.model_env_var,) if row.model_env_var else (),
        base_url=(row.host_env_var,) if row.host_env_var else (),
        api_key=row.api_key_vars,
        defaults={
            "model": model or row.default_model,
            "base_url": row.base_url or None,
            "requests_per_minute": row.requests_per_minute,
            "tokens_per_minute": row.tokens_per_minute,
        },
    )


def _shown(url: str | None) -> str:
    found = origin(url)
    if found is None:
        return "no address"
    scheme, host, port = found
    return f"{scheme}://{host}" + (f":{port}" if port not in (None, 80, 443) else "")
