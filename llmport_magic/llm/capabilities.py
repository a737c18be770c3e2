"""What models and providers are: frozen values, read from the catalogue or given by the user."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from llmport_magic.llm.limits import RateLimits
    from llmport_magic.secrets import Secret

_PRICES = (
    "input_cost_per_1k_tokens",
    "output_cost_per_1k_tokens",
    "cached_input_cost_per_1k_tokens",
    "cache_write_cost_per_1k_tokens",
)


# What a field may hold, by its annotation; `None` besides where the annotation says so.
_SHAPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "a text"),
    "tuple[str, ...]": ((tuple,), "a list of texts"),
}
# The word for a family in a model's name, where it is another one than the family's own.
_OTHER_WORDS = {
    "chatgpt": "gpt",
    "codellama": "llama",
    "codestral": "mistral",
    "mixtral": "mistral",
    "qwq": "qwen",
}
_ADDRESS = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)
_REASONING_GPT = re.compile(r"o[134](-|$)")


class FieldError(ValueError):
    """A field holds what it cannot hold.

    Attributes:
        field: its name.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class ModelFamily(str, Enum):
    """The family of a model. Members equal their text: `ModelFamily.GPT == "gpt"`."""

    CLAUDE = "claude"
    GPT = "gpt"
    GEMINI = "gemini"
    LLAMA = "llama"
    QWEN = "qwen"
    DEEPSEEK = "deepseek"
    GEMMA = "gemma"
    MISTRAL = "mistral"
    CUSTOM = "custom"

    __str__ = str.__str__

    @classmethod
    def from_name(cls, name: str) -> ModelFamily:
        """Give the family of that name, in any case; `CUSTOM`, with a warning, for an unknown one.

        Args:
            name: of a family; or a member, which is given back.
        """
        try:
            return cls(str(name).strip().lower())
        except ValueError:
            near = difflib.get_close_matches(str(name).lower(), list(cls), n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(cls)}"
            warnings.warn(f"unknown model family `{name}`, taken as `custom`: {hint}", stacklevel=2)
            return cls.CUSTOM

    @classmethod
    def of_model(cls, model: str) -> ModelFamily:
        """Tell the family of a model by the words of its name; `CUSTOM` where none is known."""
        named = model.lower().rpartition("/")[2]
        for word in re.findall(r"[a-z]+", named):
            family = _OTHER_WORDS.get(word, word)
            if family in _FAMILIES:
                return cls(family)
        return cls.GPT if _REASONING_GPT.match(named) else cls.CUSTOM


_FAMILIES = frozenset(family.value for family in ModelFamily) - {"custom"}


class ProviderType(str, Enum):
    """The providers that the package knows by itself, and `AUTO`."""

    AUTO = "auto"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    OPENROUTER = "openrouter"
    GROQ = "groq"
    DEEPSEEK = "deepseek"
    OLLAMA = "ollama"
    LOCAL = "local"
    EMBEDDED = "embedded"
    MOCK = "mock"

    __str__ = str.__str__


class ProviderState(str, Enum):
    """How far a provider of a registry is: its row is known, or it is ready to be asked."""

    REGISTERED = "registered"
    INITIALIZED = "initialized"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeConfig:
    """A number's bounds and the value it has when nobody sets it.

    Raises:
        ValueError: unless they are numbers and `minimum <= default <= maximum`.
    """

    minimum: float
    maximum: float
    default: float

    def __post_init__(self) -> None:
        _check_shapes(self)
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError(
                f"default {self.default} is not between {self.minimum} and {self.maximum}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMCapabilities:
    """What a model can do; `None` means that it is not known.

    Attributes:
        max_context_window: tokens of prompt and answer together.
        max_output_tokens: the longest answer, in tokens.
        supports_streaming: whether the answer can arrive in pieces.
        prefill: whether the start of the answer can be given.
        completion_style: whether the model continues a text well, without a conversation.
        grammar: whether an answer can be held to a grammar in llama.cpp's form, given as
            `grammar` in the body of a request.
        size: `small` for models that need the strategy of small models, else `large`; `None`
            leaves it to the model's name, see `model_size.py`.
        reasoning: whether the model thinks before it answers, for up to minutes.
        vision: whether a message may hold pictures.
        tools: whether the model can ask for functions to be called.
        json_mode: whether the provider can be told to answer in JSON.
        refuses: parameters that the model is known to refuse; others are learnt from its answers.
        input_cost_per_1k_tokens: US dollars; `None` is unknown, never free.
        output_cost_per_1k_tokens: the same for what the model writes.
        cached_input_cost_per_1k_tokens: the same for the part of a prompt that is read from the
            provider's cache.
        cache_write_cost_per_1k_tokens: the same for the part that is written to it.
        priced_prompt_tokens: the longest prompt that these prices are for, in tokens; a longer
            one costs something else. `None` is no such limit.

    Raises:
        FieldError: a size is not positive, a price is negative, a word is unknown, or a value is
            of another type; it is a `ValueError`.
    """

    max_context_window: int | None = None
    max_output_tokens: int | None = None
    supports_streaming: bool = True
    prefill: bool = False
    completion_style: bool = False
    grammar: bool = False
    size: Literal["small", "large"] | None = None
    reasoning: bool = False
    vision: bool = False
    tools: bool = False
    json_mode: bool = False
    refuses: tuple[str, ...] = ()
    input_cost_per_1k_tokens: float | None = None
    output_cost_per_1k_tokens: float | None = None
    cached_input_cost_per_1k_tokens: float | None = None
    cache_write_cost_per_1k_tokens: float | None = None
    priced_prompt_tokens: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.refuses, list):
            object.__setattr__(self, "refuses", tuple(self.refuses))
        _check_shapes(self)
        for name in ("max_context_window", "max_output_tokens", "priced_prompt_tokens"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise FieldError(f"`{name}` must be above 0, not {value}", name)
        for name in _PRICES:
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise FieldError(f"`{name}` cannot be negative: {value}", name)
        if self.size not in ("small", "large", None):
            raise FieldError(f"`size` is small or large, not `{self.size}`", "size")


@cache
def flag_names() -> frozenset[str]:
    """Name the capabilities that a model has or has not."""
    return frozenset(f.name for f in fields(LLMCapabilities) if isinstance(f.default, bool))


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMProfile:
    """One model of one provider.

    Attributes:
        name: as the provider's API spells it.
        provider: the provider's name in the registry.
        family: the family of the model.
        capabilities: what it can do.
        aliases: other names of the same model.
        replacement: the model to use instead, for one that is being retired.
        retired_on: when the provider stops serving it, as `YYYY-MM-DD`.
        detected: whether the provider itself has said what the model can do.
        available: whether the provider is initialised, where `LLMRegistry.get_model()` says it.

    Raises:
        FieldError: a value is of another type, or no day; it is a `ValueError`.
    """

    name: str
    provider: str
    family: ModelFamily = ModelFamily.CUSTOM
    capabilities: LLMCapabilities = field(default_factory=LLMCapabilities)
    aliases: tuple[str, ...] = ()
    replacement: str | None = None
    retired_on: str | None = None
    detected: bool = False
    available: bool | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.family, ModelFamily):
            object.__setattr__(self, "family", ModelFamily.from_name(self.family))
        if isinstance(self.aliases, list):
            object.__setattr__(self, "aliases", tuple(self.aliases))
        if isinstance(self.retired_on, date):
            object.__setattr__(self, "retired_on", self.retired_on.isoformat())
        _check_shapes(self)
        if not self.name:
            raise FieldError("a model needs a name", "name")
        if not isinstance(self.capabilities, LLMCapabilities):
            raise FieldError("`capabilities` must be `LLMCapabilities`", "capabilities")
        if self.retired_on is not None and not _is_day(self.retired_on):
            raise FieldError(
                f"`retired_on` is a day like 2026-12-31, not `{self.retired_on}`", "retired_on"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One row of the catalogue: who answers, in which wire dialect, and where.

    Attributes:
        name: the key in the registry.
        title: the name as people write it.
        dialect: a module of `llm/dialects/`; empty where `connector` does the talking.
        base_url: where the API is, up to and without the endpoint.
        api_key_vars: environment variables that may hold the key, the first that is set wins;
            empty where no key is needed.
        key_required: whether a call without a key makes sense.
        default_model: asked when nobody names a model; `None` asks the server what it serves.
        preset_model: what `LLMProvider.from_name` asks; `None` is the default model.
        model_env_var: environment variable that names the default model.
        host_env_var: environment variable that says where the server is: a host, one with a port,
            or a URL.
        models: the models known, by name.
        headers: sent with every request; what holds a key by its name becomes a secret.
        connector: a connector class, or an import path `module:Class`, instead of a dialect.
        hint: one line: what to do to use this provider.
        probe: whether `auto` may ask the base URL if somebody answers there.
        requests_per_minute: how often the provider may be asked; `None` is no limit.
        tokens_per_minute: how many tokens it may be sent and may send.
        rate_limit_profiles: other limits by name, as of a free plan; kept where one is named.
        order: place in the search of `auto`; rows of third parties come last.
        auto: whether `auto` may choose this provider.

    Raises:
        FieldError: a value is of another type, or the name or the address is none; it is a
            `ValueError`.
    """

    name: str
    title: str = ""
    dialect: str = "openai_chat"
    base_url: str = ""
    api_key_vars: tuple[str, ...] = ()
    key_required: bool = True
    default_model: str | None = None
    preset_model: str | None = None
    model_env_var: str | None = None
    host_env_var: str | None = None
    models: Mapping[str, LLMProfile] = field(default_factory=lambda: MappingProxyType({}))
    headers: Mapping[str, str | Secret] = field(default_factory=lambda: MappingProxyType({}))
    connector: Any = None
    hint: str = ""
    probe: bool = False
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    rate_limit_profiles: Mapping[str, RateLimits] = field(
        default_factory=lambda: MappingProxyType({})
    )
    order: int = 1000
    auto: bool = True

    def __repr__(self) -> str:
        # A row has no end of models, and an address in it no secret.
        how, own = f"{self.dialect}, {self.base_url}", self.connector
        if own is not None:
            kind = own if isinstance(own, str) else getattr(own, "__name__", type(own).__name__)
            how = f"connector {kind}"
        return f"Provider({self.name!r}, {how}, {len(self.models)} models)"

    def __post_init__(self) -> None:
        if isinstance(self.api_key_vars, list):
            object.__setattr__(self, "api_key_vars", tuple(self.api_key_vars))
        _check_shapes(self)
        if not self.name.replace("-", "_").isidentifier():
            raise FieldError(
                f"a provider needs a name like `my_provider`, not `{self.name}`", "name"
            )
        wrong = _wrong_address(self.base_url) if self.base_url else ""
        if wrong:
            # It is not shown: a key may stand in it.
            raise FieldError(f"`base_url` {wrong}", "base_url")
        for name in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise FieldError(f"`{name}` must be above 0, not {value}", name)


def _wrong_address(url: str) -> str:
    """Say why a URL cannot be a provider's; empty for one that can."""
    if not _ADDRESS.fullmatch(url):
        return "is an address like https://host/v1"
    if "@" not in url and "?" not in url and "[" not in url:
        return ""
    from urllib.parse import urlsplit

    from llmport_magic.llm.addresses import holds_credentials

    try:
        secret = holds_credentials(urlsplit(url))
    except ValueError:
        return "is an address like https://host/v1"
    return "holds credentials: take them out and set `api_key`" if secret else ""


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


@cache
def _shapes(kind: Any) -> tuple[tuple[str, tuple[type, ...], str, bool], ...]:
    """Give the fields that are checked: name, types, a word for them, and if `None` is one."""
    return tuple(
        (each.name, *_SHAPES[plain], plain != each.type)
        for each in fields(kind)
        if (plain := str(each.type).removesuffix(" | None")) in _SHAPES
    )


def _check_shapes(given: Any) -> None:
    """Refuse values of another type than their fields; a truth is no number."""
    for name, types, shape, optional in _shapes(given.__class__):
        value = getattr(given, name)
        if value is None and optional:
            continue
        fits = isinstance(value, types) and (type(value) is not bool or bool in types)
        if not fits or (types == (tuple,) and not all(isinstance(each, str) for each in value)):
            value = list(value) if isinstance(value, tuple) else value
            plain = isinstance(value, (str, int, float, list))
            shown = f"`{value}`" if plain else type(value).__name__
            raise FieldError(f"`{name}` must be {shape}, not {shown}", name)
