"""What models and providers are: frozen values, read from the catalogue or given by the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from llmport_magic.secrets import Secret

_PRICES = (
    "input_cost_per_1k_tokens",
    "output_cost_per_1k_tokens",
    "cached_input_cost_per_1k_tokens",
    "cache_write_cost_per_1k_tokens",
)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeConfig:
    """A number's bounds and the value it has when nobody sets it.

    Raises:
        ValueError: unless `minimum <= default <= maximum`.
    """

    minimum: float
    maximum: float
    default: float

    def __post_init__(self) -> None:
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
        size: `small` for models that need the strategy of small models.
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
        ValueError: for a size that is not positive, a negative price or an unknown word.
    """

    max_context_window: int | None = None
    max_output_tokens: int | None = None
    supports_streaming: bool = True
    prefill: bool = False
    completion_style: bool = False
    size: Literal["small", "large"] = "large"
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
        object.__setattr__(self, "refuses", tuple(self.refuses))
        for name in ("max_context_window", "max_output_tokens", "priced_prompt_tokens"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"`{name}` must be above 0, not {value}")
        for name in _PRICES:
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"`{name}` cannot be negative: {value}")
        if self.size not in ("small", "large"):
            raise ValueError(f"`size` is small or large, not `{self.size}`")


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
    """

    name: str
    provider: str
    family: ModelFamily = ModelFamily.CUSTOM
    capabilities: LLMCapabilities = field(default_factory=LLMCapabilities)
    aliases: tuple[str, ...] = ()
    replacement: str | None = None
    retired_on: str | None = None


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
        order: place in the search of `auto`; rows of third parties come last.
        auto: whether `auto` may choose this provider.
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
    order: int = 1000
    auto: bool = True

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("-", "_").isidentifier():
            raise ValueError(f"a provider needs a name like `my_provider`, not `{self.name}`")
