"""Reads `llm_factory_config.json`: other words for our settings, translated into one layer.

| in the file | setting |
| --- | --- |
| `default_provider`, `provider`, or the first of `default_provider_preference_order` | `provider` |
| `NAME_settings_for_factory.default_model_override` | `model` of that provider |
| `NAME_settings_for_factory.base_url_override`, `.api_key_override` | `base_url`, `api_key` |
| `provider_specific_handler_config.NAME.default_model_for_api_call` | `model`, before the others |
| `ollama_settings_for_factory.cloud_run_friendly_models`, and the two orders beside it | the same |

Both tables of a provider may hold its settings by our names, too. A name that begins with `_` is a
comment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmport_magic.errors import ConfigError
from llmport_magic.settings.cloud_run_lists import ORDERS, check_lists, check_name
from llmport_magic.settings.layer import Layer, Rank
from llmport_magic.settings.reading import Content
from llmport_magic.settings.tables import SECTIONS, layer_of_table
from llmport_magic.settings.values import OF_A_PROVIDER, is_of_a_provider

FILE_NAME = "llm_factory_config.json"
# Where it is found in a project, the weakest first.
FOUND = (f"data/config/{FILE_NAME}", f".llmport/{FILE_NAME}")

_LISTS = "cloud_run_friendly_models"
_TABLE_ENDS = "_settings_for_factory"
_HANDLERS = "provider_specific_handler_config"
_PREFERRED = "default_provider_preference_order"
_PROVIDER = ("provider", "default_provider", _PREFERRED)
_OTHER_WORDS = {
    "default_model_override": "model",
    "default_model_for_api_call": "model",
    "base_url_override": "base_url",
    "api_key_override": "api_key",
}
# Fields that the format has elsewhere, and what does the same here.
_INSTEAD = {
    "rate_limit_profiles": "set `requests_per_minute` in the provider's table",
    "execution_timeouts": "set `total_timeout` in the provider's table",
    "free_tier_pool": "set `fallback`",
}


def layer_of_factory_file(content: Content, rank: Rank, note: str = "") -> Layer:
    """Translate a file; errors and sources name its own fields and lines.

    Args:
        content: of the file.
        rank: how strong it is.
        note: what to say beside each place, such as who names the file.

    Raises:
        ConfigError: an unknown field, with the nearest that is known, or a bad value.
    """
    return _Translation(content, note).layer(rank)


class _Translation:
    """One file on its way to a layer; remembers where in the file each setting stands."""

    def __init__(self, content: Content, note: str) -> None:
        self._content = content
        self._note = f" ({note})" if note else ""
        self._table: dict[str, Any] = {SECTIONS: {}}
        self._stands: dict[tuple[str, ...], tuple[str, ...]] = {}

    def layer(self, rank: Rank) -> Layer:
        fields = {n: v for n, v in self._content.table.items() if not n.startswith("_")}
        handlers = self._tables(fields.pop(_HANDLERS, {}), _HANDLERS)
        for name, value in fields.items():
            if name in _PROVIDER:
                self._set_provider(name, value)
            elif name.endswith(_TABLE_ENDS):
                provider = name.removesuffix(_TABLE_ENDS).lower()
                self._set_section(provider, value, (name,))
            elif name in _INSTEAD:
                raise ConfigError(f"`{name}` in {self._at(name)} has no effect: {_INSTEAD[name]}")
            else:
                check_name(name, (*_PROVIDER, f"ollama{_TABLE_ENDS}", _HANDLERS), self._at(name))
        # After the others: what is for one handler goes before what is for all of a provider.
        for name, value in handlers.items():
            self._set_section(str(name).lower(), value, (_HANDLERS, name))
        return layer_of_table(self._table, rank, str(self._content.path), self._place)

    def _set_provider(self, name: str, value: Any) -> None:
        if name == _PREFERRED:
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise ConfigError(f"`{name}` in {self._at(name)} must be a list of providers")
            value = value[0] if value else None
            if "provider" in self._table:
                return
        elif value is not None and self._stands.get(("provider",)) == (_PREFERRED,):
            del self._stands[("provider",)]
        if value is not None:
            self._put(value, (), "provider", (name,))

    def _set_section(self, provider: str, table: Any, path: tuple[str, ...]) -> None:
        lists: dict[str, Any] = {}
        places: dict[str, tuple[str, ...]] = {}
        for name, value in self._tables(table, *path).items():
            stands = (*path, name)
            if name.startswith("_") or value is None:
                continue
            if provider == "ollama" and name == _LISTS:
                check_lists(value, lambda *inner, at=stands: self._at(*at, *inner))
                lists = {**value, **lists}
                places[_LISTS] = stands
            elif provider == "ollama" and name in ORDERS:
                check_lists({name: value}, lambda *_, at=stands: self._at(*at))
                lists[name] = value
                places.setdefault(_LISTS, stands)
            else:
                self._check_setting(provider, name, self._at(*stands))
                self._put(value, (SECTIONS, provider), _OTHER_WORDS.get(name, name), stands)
        if lists:
            self._put(lists, (), _LISTS, places[_LISTS])

    def _check_setting(self, provider: str, name: str, place: str) -> None:
        if name not in _OTHER_WORDS and not is_of_a_provider(name):
            more = (_LISTS, *ORDERS) if provider == "ollama" else ()
            check_name(name, (*_OTHER_WORDS, *more, *OF_A_PROVIDER), place)

    def _put(self, value: Any, below: tuple[str, ...], name: str, stands: tuple[str, ...]) -> None:
        before = self._stands.get((*below, name), ())
        if before[:-1] == stands[:-1] and before:
            raise ConfigError(
                f"`{stands[-1]}` in {self._at(*stands)} says `{name}` once more: leave one out"
            )
        table = self._table
        for each in below:
            table = table.setdefault(each, {})
        table[name] = value
        self._stands[(*below, name)] = stands

    def _tables(self, value: Any, *path: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise ConfigError(f"`{path[-1]}` in {self._at(*path)} must be a table")
        return value

    def _place(self, *names: str) -> str:
        return self._at(*self._stands.get(names, names))

    def _at(self, *path: str) -> str:
        return self._content.place(*path) + self._note
