"""What passes between connector, dialect and transport: frozen values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from llmport_magic.llm.messages import Message
    from llmport_magic.llm.reply import Chunk
    from llmport_magic.secrets import Secret

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Deadlines in seconds and sizes in bytes.

    Attributes:
        connect: until the connection stands.
        first_byte: until the response begins; `None` is 60, and 300 for models that reason.
        idle: between two pieces of content; keep-alive comments are not content.
        total: for the whole call, its retries and waits included.
        max_line_bytes: the longest line of a stream.
        max_body_bytes: the longest answer.
        pool_size: open connections at most.
    """

    connect: float = 5.0
    first_byte: float | None = None
    idle: float = 60.0
    total: float = 600.0
    max_line_bytes: int = 1_000_000
    max_body_bytes: int = 8_000_000
    pool_size: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who is asked, for the request and for the messages of its errors.

    Attributes:
        provider: the provider's name in the registry.
        model: as the provider spells it.
        base_url: of the API.
        key: sent in a header; `None` sends none.
        key_vars: the environment variables that may hold the key.
        headers: sent as they are.
        reasoning: whether the model may think for minutes before it answers.
    """

    provider: str
    model: str
    base_url: str
    key: Secret | None = None
    key_vars: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    reasoning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to a model, before a dialect puts it into its own words.

    Attributes:
        model: as the provider spells it.
        messages: the conversation.
        stream: whether the answer shall arrive in pieces.
        max_tokens: the longest answer; `None` leaves it to the provider, as for the others.
        temperature: of the sampling.
        stop: texts that end the answer.
        seed: of the sampling.
        top_p: of the sampling.
        prefill: the start of the answer.
        extra: merged into the body last.
        refused: names of parameters that this model is known to refuse.
    """

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_p: float | None = None
    prefill: str | None = None
    extra: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """A request as a dialect writes it: the path below the base URL, and the JSON body."""

    path: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetails:
    """What a provider says about a failure.

    Attributes:
        message: in the provider's own words.
        code: its word or number for the kind of failure.
        param: the parameter that is wrong, where it says so.
        status: the HTTP status that it gives inside the body.
    """

    message: str
    code: str = ""
    param: str | None = None
    status: int | None = None


class StreamReader(Protocol):
    """Reads the events of one stream; made anew for each."""

    def read(self, data: Mapping[str, Any], event: str) -> Chunk | None:
        """Read one event; `None` where it holds nothing of the answer."""

    @property
    def complete(self) -> bool:
        """Whether the provider has said that the answer is at its end."""


class Dialect(Protocol):
    """A module of `llm/dialects/`: pure functions between our words and a provider's."""

    KEY_HEADER: str
    KEY_PREFIX: str
    FRAMING: str
    END_OF_STREAM: bytes | None
    MODELS_PATH: str

    def build_request(self, call: Call) -> WireRequest:
        """Write the request."""

    def read_reply(self, data: Mapping[str, Any]) -> Chunk:
        """Read a whole answer; raises `ValueError` where it is none."""

    def read_error(self, data: Any) -> ErrorDetails | None:
        """Read a failure out of a body or an event; `None` where there is none."""

    def refused_parameter(self, error: ErrorDetails, body: Mapping[str, Any]) -> str | None:
        """Name the parameter that the model refuses, where the failure is about one."""

    def read_models(self, data: Any) -> tuple[str, ...]:
        """Read the names of the models that the server has."""

    def stream_reader(self) -> StreamReader:
        """Make a reader for one stream."""
