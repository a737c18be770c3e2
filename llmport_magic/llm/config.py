"""How one model is asked over HTTP: the values that a connector is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from llmport_magic.llm.retry import RetryPolicy
from llmport_magic.llm.wire import Limits, Network
from llmport_magic.secrets import Secret, hidden, masked_repr
from llmport_magic.settings import origin

if TYPE_CHECKING:
    from llmport_magic.llm.capabilities import LLMCapabilities
    from llmport_magic.llm.limits import RateLimits
    from llmport_magic.llm.provider_settings import KeyFinder


@dataclass(frozen=True, slots=True)
class LLMConfig:
    """How one model is asked, over HTTP.

    Args:
        base_url: of the API, for example `https://api.openai.com/v1`.
        model: as the provider spells it; empty asks a local server what it serves.
        api_key: the key; `None` looks into the variables `api_key_vars` with each call.
        temperature: of the sampling; `None` leaves it to the provider.
        max_tokens: the longest answer in tokens; `None` leaves it to the provider.
        timeout_ms: for the whole call, its retries included, in milliseconds.
        provider: the name in messages, and in the registry where it is there.
        headers: sent with every request; what holds a key by its name becomes a secret.
        extra: merged into every request's body.
        options: parameters of the sampling in the provider's own words, for every request.
        seed: of the sampling.
        dialect: the wire format, a module of `llm/dialects/`.
        api_key_vars: environment variables that may hold the key.
        key_required: whether a call without a key is refused before it is sent.
        capabilities: of the model; `None` looks them up in the registry.
        limits: deadlines and sizes; `timeout_ms` wins over its `total`.
        retry: how often and how patiently a failed request is sent again.
        retry_budget: how many retries there are before successes must earn more.
        network: how requests leave this machine; `None` is as the settings say.
        hint: what to do where nobody answers at `base_url`.
        keys: looks the key up with each call, where `api_key` is `None`; for its address only.
        key_withheld: why no key is looked up: the provider's was set for another address.
        rate_limits: of the account, kept by all connectors that ask it; `None` is no limit.
        shared_limits: whether all kernels of this user on this machine share those limits.
        cache: whether answers are kept, and given again for the same request.
        cache_seconds: how long an answer is given again.
        cache_megabytes: the most that is kept, of this user's connectors together.
    """

    base_url: str
    model: str
    api_key: Secret | str | None = None
    temperature: float | None = 0.7
    max_tokens: int | None = 4096
    timeout_ms: float = 30_000
    provider: str = "custom"
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    dialect: str = "openai_chat"
    api_key_vars: tuple[str, ...] = ()
    key_required: bool = False
    capabilities: LLMCapabilities | None = None
    limits: Limits = field(default_factory=Limits)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    retry_budget: float = 10
    network: Network | None = None
    hint: str = ""
    keys: KeyFinder | None = field(default=None, repr=False, compare=False)
    key_withheld: str = ""
    rate_limits: RateLimits | None = None
    shared_limits: bool = False
    cache: bool = False
    cache_seconds: float = 604_800.0
    cache_megabytes: float = 100.0
    __repr__ = masked_repr

    def __post_init__(self) -> None:
        key = self.api_key
        secret = Secret(key) if isinstance(key, str) and key.strip() else (key or None)
        object.__setattr__(self, "api_key", secret)
        if self.keys is not None and self.keys.origin != origin(self.base_url):
            object.__setattr__(self, "keys", None)
        object.__setattr__(self, "headers", hidden(self.headers))
        object.__setattr__(self, "limits", replace(self.limits, total=self.timeout_ms / 1000))
