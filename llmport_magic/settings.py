"""Layered settings: one resolver for every value, and where each value came from.

Strongest first: arguments and cell options, `configure()`, the file that `LLMPORT_CONFIG` names,
the environment, the user's file, defaults. Nothing is read before it is asked for.
"""

from __future__ import annotations

import difflib
import json
import os
import threading
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from llmport_magic.errors import ConfigError
from llmport_magic.secrets import Secret, provider_variables

# These belong to a provider: they never follow the user to another one.
PROVIDER_BOUND = ("model", "api_key", "base_url")
_ENV_ALIASES = {"LLM_PROVIDER": "provider"}
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_NETWORK_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", *_PROXIES, *map(str.lower, _PROXIES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One resolved set of values; times are in seconds unless a name says otherwise.

    Attributes:
        provider: who answers; `auto` picks: the provider whose key is there, a local server, or the
            embedded model.
        model: the model's name as the provider spells it; `None` is the provider's default.
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
        max_tokens: the longest answer, in tokens; `None` is 4096, and 16384 for models that
            reason.
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
        module_dir: where modules are written and `.llmport/` lies.
        mode: `live`, or `frozen`: never call a model.
        trust: `ask`, `never` or `always`: what happens with code that needs consent.
        log: whether the journal and the log notebook are written.
        log_text: whether `<module>.log` is written beside the module.
        stdout: whether events are printed as they happen.
        sandbox_seconds: how long a check may run.
        sandbox_memory_mb: how much memory a check may use.
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
        factory_config_path: the file of settings in JSON that `create_llm_handler` reads.
    """

    provider: str = "auto"
    model: str | None = None
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
    module_dir: str = "."
    mode: Literal["live", "frozen"] = "live"
    trust: Literal["ask", "never", "always"] = "ask"
    log: bool = True
    log_text: bool = False
    stdout: bool = False
    sandbox_seconds: float = 20.0
    sandbox_memory_mb: int = 2048
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
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def source(self, name: str) -> str:
        """Say where a value came from: the name of a layer, or `default`."""
        return self.sources.get(name, "default")

    def values(self) -> dict[str, Any]:
        """Give every value by its name."""
        return {name: getattr(self, name) for name in setting_names()}


@cache
def setting_names() -> tuple[str, ...]:
    """Name every setting."""
    return tuple(f.name for f in fields(Settings) if f.name != "sources")


_lock = threading.Lock()
_configured: dict[str, Any] = {}


def configure(**settings: Any) -> None:
    """Set values for this session; they take effect with the next call.

    Setting `provider` to another one drops the model, key and URL set for the previous one.
    A value of `None` is left as it is.

    Raises:
        ConfigError: for an unknown setting or a bad value; then nothing is changed.
    """
    checked = {
        name: _checked(name, value, "configure()")
        for name, value in settings.items()
        if _known(name, "configure()") and value is not None
    }
    with _lock:
        _overlay(_configured, checked)
    _changed()


def reset_configuration() -> None:
    """Forget everything that `configure()` set."""
    with _lock:
        _configured.clear()
    _changed()


_times_changed = 0


def times_changed() -> int:
    """Count the changes in this session: what was resolved before one may be old."""
    return _times_changed


def _changed() -> None:
    global _times_changed  # noqa: PLW0603
    _times_changed += 1


def get_config() -> dict[str, Any]:
    """Give a copy of every setting as it resolves now; a key shows as `********`."""
    return resolve().values()


def resolve(**arguments: Any) -> Settings:
    """Resolve every setting; arguments that are `None` count as not given.

    Raises:
        ConfigError: for an unknown setting, a bad value or a file that cannot be read.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in _layers(arguments):
        _overlay(values, layer)
        sources.update(dict.fromkeys(layer, source))
    kept = {name: sources[name] for name in values}
    return Settings(**values, sources=kept)


def environment_model(provider: str, variable: str | None = None) -> str | None:
    """Give the model that `LLMPORT_<PROVIDER>_MODEL` or another variable names, if one is set.

    Args:
        provider: the provider's name.
        variable: the variable's name, where the provider's row names another one.
    """
    own = f"LLMPORT_{provider.upper().replace('-', '_')}_MODEL"
    return _first_set(own, *provider_variables(provider, "MODEL"), variable)


def environment_base_url(provider: str, variable: str | None = None) -> str | None:
    """Give the URL that `LLMPORT_LLM__<PROVIDER>__BASE_URL` or another variable holds.

    Args:
        provider: the provider's name.
        variable: the variable's name, where the provider's row names one.
    """
    return _first_set(*provider_variables(provider, "BASE_URL"), variable)


def _first_set(*variables: str | None) -> str | None:
    values = (os.environ.get(name, "").strip() for name in variables if name)
    return next(filter(None, values), None)


def user_config_file() -> Path:
    """Give the path of the user's settings file, whether or not it is there."""
    import platformdirs

    return Path(platformdirs.user_config_dir("llmport_magic")) / "config.toml"


def network_environment() -> tuple[str | None, ...]:
    """Give what the environment says about proxies and certificate authorities."""
    return tuple(map(os.environ.get, _NETWORK_VARIABLES))


def captures_content() -> bool:
    """Tell whether what is said to a model may be recorded in the spans of a trace.

    The values are those of https://pypi.org/project/opentelemetry-util-genai/ (read 2026-11-21),
    and `true` of the versions before.
    """
    asked = os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "")
    return asked.strip().lower() in ("true", "span_only", "span_and_event")


def names_tracer() -> bool:
    """Tell whether the environment names a tracer for OpenTelemetry to load by itself."""
    return bool(os.environ.get("OTEL_PYTHON_TRACER_PROVIDER"))


def names_proxy() -> bool:
    """Tell whether the environment names a proxy."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return any(os.environ.get(name) or os.environ.get(name.lower()) for name in names)


def notebook_file() -> str | None:
    """Give the path of the notebook that this kernel serves, where the server tells it."""
    return os.environ.get("JPY_SESSION_NAME") or None


def _layers(arguments: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the layers with their names, the weakest first."""
    user_file = user_config_file()
    if user_file.is_file():
        yield str(user_file), _from_file(user_file)
    yield from _environment()
    named = os.environ.get("LLMPORT_CONFIG", "").strip()
    if named:
        yield f"{named} (LLMPORT_CONFIG)", _from_file(Path(named))
    with _lock:
        configured = dict(_configured)
    yield "configure()", configured
    given = {name: value for name, value in arguments.items() if value is not None}
    yield (
        "argument",
        {
            name: _checked(name, value, "argument")
            for name, value in given.items()
            if _known(name, "argument")
        },
    )


def _environment() -> Iterator[tuple[str, dict[str, Any]]]:
    for variable, name in _ENV_ALIASES.items():
        if os.environ.get(variable, "").strip():
            yield variable, {name: _checked(name, os.environ[variable].strip(), variable)}
    # The provider first: the values bound to it are dropped when it changes.
    for name in setting_names():
        variable = f"LLMPORT_{name.upper()}"
        text = os.environ.get(variable, "").strip()
        if text:
            yield variable, {name: _checked(name, text, variable)}


def _overlay(values: dict[str, Any], layer: Mapping[str, Any]) -> None:
    provider = layer.get("provider")
    if provider is not None and provider != values.get("provider", "auto"):
        for name in PROVIDER_BOUND:
            values.pop(name, None)
    values.update(layer)


def _from_file(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read settings file `{path}`: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file `{path}` is not valid TOML: {error}") from None
    table = content.get("llmport", content)
    return {
        name: _checked(name, value, str(path))
        for name, value in table.items()
        if _known(name, str(path))
    }


def _known(name: str, source: str) -> bool:
    if name in setting_names():
        return True
    near = difflib.get_close_matches(name, setting_names(), n=1)
    hint = f"did you mean `{near[0]}`?" if near else "see `%llmport config`"
    raise ConfigError(f"unknown setting `{name}` in {source}: {hint}")


@cache
def _types() -> dict[str, Any]:
    return typing.get_type_hints(Settings)


def _checked(name: str, value: Any, source: str) -> Any:
    kind = _types()[name]
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value in choices:
            return value
        raise ConfigError(f"`{name}` in {source} is one of {', '.join(choices)}, not `{value}`")
    try:
        return _converted(kind, value)
    except (TypeError, ValueError):
        shown = "the value given" if name == "api_key" else f"`{value}`"
        shapes = {tuple: "a list", Mapping: "a table"}
        shape = shapes.get(typing.get_origin(kind)) or kind.__name__
        raise ConfigError(f"`{name}` in {source} must be {shape}, not {shown}") from None


def _converted(kind: Any, value: Any) -> Any:
    origin = typing.get_origin(kind)
    if kind is bool:
        return _switch(value)
    if kind in (int, float):
        return _number(kind, value)
    if kind is Secret:
        return Secret(value)
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
    if isinstance(value, bool) or number != float(value) or number < 0 or number != number:  # noqa: PLR0124
        _fail()
    return number


def _fail() -> typing.NoReturn:
    raise ValueError
