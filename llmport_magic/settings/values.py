"""The values themselves: what can be set, its type and its default."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal

from llmport_magic.errors import ConfigError
from llmport_magic.secrets import Secret, hidden, looks_like_key, masked_repr, redact
from llmport_magic.settings.layer import Layer, Rank
from llmport_magic.settings.tasks import check_models

# What can hold generated code while it is checked, the weakest first.
SandboxLevel = Literal[
    "static only",
    "process only",
    "rlimits only",
    "seccomp",
    "landlock",
    "seatbelt",
    "bwrap",
    "bwrap+seccomp",
    "bwrap+landlock",
    "landlock+seccomp",
    "bwrap+landlock+seccomp",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One resolved set of values; times are in seconds unless a name says otherwise.

    Attributes:
        provider: who answers; `auto` picks: the provider whose key is there, a local server, or the
            embedded model.
        model: the model's name as the provider spells it; `None` is the provider's default.
        models: other models for one kind of work: `gmn` for specifications, `code` for modules; a
            name, or a table with `provider` and `model`.
        base_url: where the provider answers; `None` is the catalogue's.
        api_key: the key; `None` looks it up in the provider's environment variables.
        api_key_env: environment variables that hold the key, instead of the provider's own; said
            together with `base_url` it allows that key to go there.
        api_key_file: a file that holds the key, read again when the provider refuses it.
        keyring: whether the system's keyring is asked for a key, where `keyring` is installed.
        ask_for_key: whether a missing key is asked for with a hidden prompt, once.
        headers: sent with every request to that provider.
        options: parameters of the sampling in the provider's own words, for example `num_ctx`.
        temperature: sampling temperature; `None` leaves it to the strategy.
        max_tokens: the longest answer in tokens; `None` is 4096, 16384 for models that reason.
        seed: seed of the sampling, where the provider takes one.
        connect_timeout: until the connection stands.
        first_byte_timeout: until the answer begins.
        reasoning_timeout: until the answer of a model that thinks first begins, where
            `first_byte_timeout` is not set.
        idle_timeout: between two pieces of content.
        total_timeout: for the whole answer.
        attempts: how often one request is sent at most.
        retry_budget: how many retries a client may make before it must earn more by successes.
        retry_after_max: the longest wait that a provider may ask for.
        backoff: the longest wait before the first retry where the provider asks for none; it
            doubles with each.
        backoff_max: the longest wait where the provider asks for none.
        max_line_bytes: the longest line of a stream.
        max_body_bytes: the longest answer.
        pool_size: open connections at most.
        keep_alive: how long an idle connection is kept.
        transport: the HTTP library: `httpx`, `httpx2`, or `auto` for `httpx2` where it is there.
        http2: whether whole answers of other machines may come over HTTP/2, where `h2` is there.
        trust_env: whether the proxies and certificate authorities of the environment count.
        plain_http_hosts: other machines that may be asked without encryption.
        tries: how many answers may be asked for until one passes its checks.
        budget_tokens: completion tokens that may be spent on one cell.
        budget_seconds: time that may be spent on one cell.
        budget_dollars: money that may be spent on one cell, where prices are known; `None` is no
            limit.
        module_dir: where modules are written and `.llmport/` lies.
        mode: `live`, or `frozen`: never call a model.
        trust: `ask`, `never` or `always`: what happens with code that needs consent.
        log: whether the journal and the log notebook are written.
        log_text: whether `<module>.log` is written beside the module.
        stdout: whether events are printed as they happen.
        sandbox_seconds: how long a check may run; 1 or more.
        sandbox_memory_mb: how much memory a check may use; 1 or more.
        sandbox_warm: whether a process that holds nothing but libraries is kept ready, from which
            each check is forked.
        sandbox_preload: libraries that it has loaded; `None` is those of the kernel that take long.
        sandbox_least: the weakest level at which code may run; a weaker one is an error.
        context_tokens: how long the description of what `--with` names may be.
        trial_rows: how many rows of the variables that `--with` names an answer is tried on; 0
            tries nothing.
        templates: a file that replaces the prompt templates.
        embedded_model: `large`, `small` or the path of a GGUF file.
        embedded_threads: threads of the embedded model; `None` picks by the machine's load.
        fallback: providers that are asked in this order where the first one fails; the prompt
            then goes to them.
        unhealthy_after: failures in a row after which a provider is passed over.
        cool_down: how long it is passed over.
        requests_per_minute: to one provider, by all connectors together; `None` is no limit but
            that of the provider's row.
        tokens_per_minute: the same for tokens, sent and received.
        burst: how many requests may go out at once before the limit spaces them; `None` is a
            minute's worth, and 1 where kernels share the limit.
        shared_limits: whether all kernels of this user on this machine share those limits.
        cache: whether an answer is kept and given again for the same request.
        cache_seconds: how long it is given again.
        cache_megabytes: the most that is kept.
        update_context: what an update sends of the module: `whole`, or the `needed` functions
            and an outline of the rest.
        factory_config_path: a file of settings in the format of `llm_factory_config.json`, which
            stands in the place of those that are found in the project.
        cloud_run_friendly_models: models of Ollama that are put over the lists which
            `create_llm_handler` takes its default from.
    """

    provider: str = "auto"
    model: str | None = None
    models: Mapping[str, Any] = field(default_factory=dict)
    base_url: str | None = None
    api_key: Secret | None = None
    api_key_env: tuple[str, ...] = ()
    api_key_file: str | None = None
    keyring: bool = False
    ask_for_key: bool = False
    headers: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    connect_timeout: float = 5.0
    first_byte_timeout: float = 60.0
    reasoning_timeout: float = 300.0
    idle_timeout: float = 60.0
    total_timeout: float = 600.0
    attempts: int = 3
    retry_budget: int = 10
    retry_after_max: float = 60.0
    backoff: float = 0.5
    backoff_max: float = 8.0
    max_line_bytes: int = 1_000_000
    max_body_bytes: int = 8_000_000
    pool_size: int = 100
    keep_alive: float = 30.0
    transport: Literal["httpx", "httpx2", "auto"] = "httpx"
    http2: bool = True
    trust_env: bool = True
    plain_http_hosts: tuple[str, ...] = ()
    tries: int = 5
    budget_tokens: int = 20_000
    budget_seconds: float = 300.0
    budget_dollars: float | None = None
    module_dir: str = "."
    mode: Literal["live", "frozen"] = "live"
    trust: Literal["ask", "never", "always"] = "ask"
    log: bool = True
    log_text: bool = False
    stdout: bool = False
    sandbox_seconds: float = 20.0
    sandbox_memory_mb: int = 2048
    sandbox_warm: bool = True
    sandbox_preload: tuple[str, ...] | None = None
    sandbox_least: SandboxLevel = "static only"
    context_tokens: int = 4_000
    trial_rows: int = 1_000
    templates: str | None = None
    embedded_model: str | None = None
    embedded_threads: int | None = None
    fallback: tuple[str, ...] = ()
    unhealthy_after: int = 3
    cool_down: float = 300.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst: float | None = None
    shared_limits: bool = False
    cache: bool = False
    cache_seconds: float = 604_800.0
    cache_megabytes: float = 100.0
    update_context: Literal["whole", "needed"] = "whole"
    factory_config_path: str | None = None
    cloud_run_friendly_models: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    ranks: Mapping[str, Rank] = field(default_factory=dict, repr=False, compare=False)
    layers: tuple[Layer, ...] = field(default=(), repr=False, compare=False)
    __repr__ = masked_repr

    def source(self, name: str) -> str:
        """Say where a value came from: the name of a layer, or `default`."""
        return self.sources.get(name, "default")

    def values(self) -> dict[str, Any]:
        """Give every value by its name."""
        return {name: getattr(self, name) for name in setting_names()}


# These belong to a provider: they never follow the user to another one.
PROVIDER_BOUND = (
    "model",
    "api_key",
    "api_key_env",
    "api_key_file",
    "base_url",
    "headers",
    "options",
)
# What a table of one provider may hold.
OF_A_PROVIDER = (
    *PROVIDER_BOUND,
    "temperature",
    "max_tokens",
    "seed",
    "connect_timeout",
    "first_byte_timeout",
    "reasoning_timeout",
    "idle_timeout",
    "total_timeout",
    "attempts",
    "retry_budget",
    "retry_after_max",
    "backoff",
    "backoff_max",
    "requests_per_minute",
    "tokens_per_minute",
    "burst",
)
_AT_LEAST_ONE = ("attempts", "pool_size", "tries", "sandbox_seconds", "sandbox_memory_mb")
_MAY_BE_ENDLESS = ("requests_per_minute", "tokens_per_minute", "burst")
# Or addresses with one in them, or what somebody took for a place for them.
_MAY_HOLD_KEYS = ("api_key", "api_key_env", "api_key_file", "base_url", "headers", "options")
_VARIABLE = re.compile(r"[A-Za-z_]\w*\Z")
_ONE_LINE = re.compile(r"[^\n]*\Z")
_SHAPES: dict[Any, str] = {
    tuple: "a list of texts",
    Mapping: "a table",
    "headers": "a table of texts",
    "api_key": "str",
}
_NO_SETTINGS = ("sources", "ranks", "layers")
# Other words for the same settings, and what their values are multiplied with.
_OTHER_WORDS: dict[str, tuple[str, float | None]] = {
    "api_base": ("base_url", None),
    "timeout": ("total_timeout", None),
    "timeout_sec": ("total_timeout", None),
    "timeout_ms": ("total_timeout", 0.001),
}


@cache
def setting_names() -> tuple[str, ...]:
    """Name every setting."""
    return tuple(f.name for f in fields(Settings) if f.name not in _NO_SETTINGS)


def is_of_a_provider(name: str) -> bool:
    """Tell whether a word, ours or another for the same, is a setting of one provider."""
    return name in OF_A_PROVIDER or name == "max_retries" or name in _OTHER_WORDS


def named(name: str, value: Any, known: Iterable[str], source: str) -> tuple[str, Any]:
    """Give a setting by its own name, whichever word for it was used.

    Args:
        name: a setting, or another word for one: `api_base`, `timeout`, `timeout_sec`,
            `timeout_ms`, or `max_retries`, which counts the further attempts.
        value: as it was given.
        known: the settings that may stand there.
        source: what to name in an error.

    Raises:
        ConfigError: there is no such setting; the message names the nearest.
    """
    known = tuple(known)
    if name in known:
        return name, value
    if name == "max_retries" and "attempts" in known:
        return "attempts", _counted(name, int, value, source) + 1
    target, factor = _OTHER_WORDS.get(name, ("", None))
    if target in known:
        return target, _counted(name, float, value, source) * factor if factor else value
    near = difflib.get_close_matches(name, known, n=1)
    if not near and name in setting_names():
        hint = "it is no setting of one provider: put it beside the providers' tables"
    elif not near and isinstance(value, Mapping):
        hint = f"the table of a provider is `[llm.{name}]`"
    else:
        hint = f"did you mean `{near[0]}`?" if near else "see `%llmport config`"
    raise ConfigError(f"unknown setting `{name}` in {source}: {hint}")


def _counted(name: str, kind: type[int | float], value: Any, source: str) -> int | float:
    try:
        return _number(kind, value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"`{name}` in {source} must be {kind.__name__}, not `{redact(str(value))}`"
        ) from None


@cache
def _types() -> dict[str, Any]:
    return typing.get_type_hints(Settings)


def checked(name: str, value: Any, source: str) -> Any:
    """Give a value as its setting has it.

    Raises:
        ConfigError: it has another type or is out of range; a key is not shown.
    """
    kind = _types()[name]
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value in choices:
            return value
        raise ConfigError(
            f"`{name}` in {source} is one of {', '.join(choices)}, not `{redact(str(value))}`"
        )
    try:
        found = _converted(kind, value)
        endless = isinstance(found, float) and math.isinf(found) and name not in _MAY_BE_ENDLESS
        if endless or (name in _AT_LEAST_ONE and found < 1):
            _fail()
        if name == "headers":
            found = _headers(found)
    except (TypeError, ValueError, OverflowError):
        shown = "" if name in _MAY_HOLD_KEYS else f", not `{redact(str(value))}`"
        shape = _SHAPES.get(name) or _SHAPES.get(typing.get_origin(kind)) or kind.__name__
        more = " of 1 or more" if name in _AT_LEAST_ONE else ""
        if shape in ("int", "float") and isinstance(value, (int, float)) and value < 0:
            more = more or " of 0 or more"
        raise ConfigError(f"`{name}` in {source} must be {shape}{more}{shown}") from None
    if name == "api_key_env":
        _check_variables(found, source)
    if name == "models":
        check_models(found, source)
    return found


def _check_variables(names: tuple[str, ...], source: str) -> None:
    if any(not _VARIABLE.match(name) or looks_like_key(name) for name in names):
        raise ConfigError(
            f"`api_key_env` in {source} must be the name of the variable that holds the key, not "
            "the key itself"
        )


def _headers(table: Mapping[str, Any]) -> dict[str, str | Secret]:
    for name, value in table.items():
        plain = isinstance(value, str) and "\n" not in value
        one_line = value.matches(_ONE_LINE) if isinstance(value, Secret) else plain
        if not isinstance(name, str) or "\n" in name or not one_line:
            _fail()
    return hidden(table)


def _converted(kind: Any, value: Any) -> Any:
    origin = typing.get_origin(kind)
    if kind is bool:
        return _switch(value)
    if kind in (int, float):
        return _number(kind, value)
    if kind is Secret:
        return Secret(value) if isinstance(value, (str, Secret)) else _fail()
    if isinstance(value, Secret):
        _fail()
    if origin is tuple:
        parts = value.replace(",", " ").split() if isinstance(value, str) else list(value)
        return tuple(part if isinstance(part, str) else _fail() for part in parts)
    if origin is Mapping:
        table = json.loads(value) if isinstance(value, str) else value
        return dict(table) if isinstance(table, Mapping) else _fail()
    return str(os.fspath(value)) if isinstance(value, (str, os.PathLike)) else _fail()


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    return words[str(value).lower()] if str(value).lower() in words else _fail()


def _number(kind: type[int | float], value: Any) -> int | float:
    number = kind(value)
    if isinstance(value, bool) or math.isnan(number) or number != float(value):
        _fail()
    return number if number >= 0 else _fail()


def _fail() -> typing.NoReturn:
    raise ValueError
