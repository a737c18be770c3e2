"""What passes between connector, dialect and transport: frozen values, and how dialects read.

A server may send anything: the small functions at the end give a value only where it has the
type that is documented.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from llmport_magic.secrets import Secret, masked_repr

if TYPE_CHECKING:
    from llmport_magic.llm.messages import Message
    from llmport_magic.llm.reply import Chunk
    from llmport_magic.llm.tools import Tool
    from llmport_magic.settings import Settings

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Deadlines in seconds and sizes in bytes.

    Attributes:
        connect: until the connection stands.
        first_byte: until the response begins; `None` is 60, or `first_byte_reasoning`.
        idle: between two pieces of content; keep-alive comments are not content.
        first_byte_reasoning: the same for models that reason, where `first_byte` is `None`.
        total: for the whole call, its retries and waits included.
        max_line_bytes: the longest line of a stream.
        max_body_bytes: the longest answer.
        pool_size: open connections at most.
    """

    connect: float = 5.0
    first_byte: float | None = None
    first_byte_reasoning: float = 300.0
    idle: float = 60.0
    total: float = 600.0
    max_line_bytes: int = 1_000_000
    max_body_bytes: int = 8_000_000
    pool_size: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How requests leave this machine.

    Attributes:
        transport: the HTTP library: `httpx`, `httpx2`, or `auto` for the second where it is there.
        http2: whether whole answers of other machines may come over HTTP/2, where the package
            `h2` is installed; a stream never does.
        trust_env: whether the proxies and authorities that the environment names count.
        plain_http_hosts: other machines that may be asked without encryption.
        keep_alive: how long an idle connection is kept, in seconds.
    """

    transport: str = "httpx"
    http2: bool = True
    trust_env: bool = True
    plain_http_hosts: tuple[str, ...] = ()
    keep_alive: float = 30.0

    @classmethod
    def of(cls, settings: Settings) -> Network:
        """Take the values that the settings have."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})


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
        network: how the request leaves this machine.
        hint: what to do where nobody answers; empty where the row of the provider says nothing.
    """

    provider: str
    model: str
    base_url: str
    key: Secret | None = None
    key_vars: tuple[str, ...] = ()
    headers: Mapping[str, str | Secret] = field(default_factory=lambda: _NOTHING)
    reasoning: bool = False
    network: Network = field(default_factory=Network)
    hint: str = ""
    __repr__ = masked_repr


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to a model, before a dialect puts it into its own words.

    Attributes:
        model: as the provider spells it.
        messages: the conversation.
        stream: whether the answer shall arrive in pieces.
        max_tokens: the longest answer; `None` leaves it to the provider, as for the others.
        output_limit: the longest answer of which the model is capable, where that is known; for
            a format that must name a limit.
        temperature: of the sampling.
        stop: texts that end the answer.
        seed: of the sampling.
        top_p: of the sampling.
        prefill: the start of the answer.
        tools: what the model may ask to be called, with names that every provider takes.
        tool_names: the user's names of the tools, by those names.
        tool_choice: `auto`, `none`, `required` or the name of a tool; empty leaves it open.
        json_mode: whether the answer shall be a JSON object.
        json_schema: the schema of that object; implies `json_mode`.
        options: parameters of the sampling in the provider's own words; the dialect puts them
            where that provider has them.
        extra: merged into the body last.
        refused: names of parameters that this model is known to refuse.
    """

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    max_tokens: int | None = None
    output_limit: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_p: float | None = None
    prefill: str | None = None
    tools: tuple[Tool, ...] = ()
    tool_names: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    tool_choice: str = ""
    json_mode: bool = False
    json_schema: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    extra: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """A request as a dialect writes it.

    Attributes:
        path: below the base URL; it may have a query.
        body: written as JSON; an empty one is none, and asks with GET.
        headers: that this format asks for, never a key.
    """

    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetails:
    """What a provider says about a failure.

    Attributes:
        message: in the provider's own words.
        code: its word or number for the kind of failure; `content_filter` where the provider
            blocked the request or the answer.
        param: the parameter that is wrong, where it says so.
        status: the HTTP status that it gives inside the body.
        advice: what to do next, where the dialect knows more than the status says.
        retry_after: seconds to wait before another try, where the body says it.
    """

    message: str
    code: str = ""
    param: str | None = None
    status: int | None = None
    advice: str = ""
    retry_after: float | None = None


class StreamReader(Protocol):
    """Reads the events of one stream; made anew for each.

    It may have a `quick(data: bytes) -> Chunk | None`, too: it is given each event as it came, and
    reads those that hold a piece of the text and nothing else. For another it gives `None` and
    takes no notice, and the event takes the usual way.
    """

    def read(self, data: Mapping[str, Any], event: str) -> Chunk | ErrorDetails | None:
        """Read one event; `None` where it holds nothing of the answer."""

    @property
    def complete(self) -> bool:
        """Whether the provider has said that the answer is at its end."""


class Dialect(Protocol):
    """A module of `llm/dialects/`: pure functions between our words and a provider's.

    Attributes:
        KEY_HEADER: the header of the key, in lower case.
        KEY_PREFIX: what stands before the key.
        FRAMING: of a stream: `sse`, or `ndjson` for one JSON object a line.
        END_OF_STREAM: the event that is no JSON and ends a stream, where there is one.
        MODELS_PATH: below the base URL, where the server lists its models.
        DEFAULT_PATH: of a base URL that has none, for example `/v1`.
    """

    KEY_HEADER: str
    KEY_PREFIX: str
    FRAMING: str
    END_OF_STREAM: bytes | None
    MODELS_PATH: str
    DEFAULT_PATH: str

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

    def describe_requests(self, model: str) -> tuple[WireRequest, ...]:
        """Write what to ask a server about a model: the next where the one before finds nothing."""

    def read_model(self, data: Any, model: str) -> Mapping[str, Any] | None:
        """Read what a server says of a model, as fields of `LLMCapabilities`.

        What it does not say is left out; `None` where the answer is not about that model.
        """

    def stream_reader(self) -> StreamReader:
        """Make a reader for one stream."""


def kept(fields: Mapping[str, Any], refused: Container[str] = ()) -> dict[str, Any]:
    """Give the fields of a request that are set and that the model does not refuse."""
    return {n: value for n, value in fields.items() if value is not None and n not in refused}


def string(value: Any) -> str | None:
    """Give a text that is not empty."""
    return value if isinstance(value, str) and value else None


def counts(fields: Mapping[str, Any]) -> dict[str, int]:
    """Give the fields that are counts: whole numbers from 0 on."""
    return {name: n for name, n in fields.items() if type(n) is int and n >= 0}


def sizes(fields: Mapping[str, Any]) -> dict[str, int]:
    """Give the fields that are sizes: whole numbers above 0."""
    return {name: n for name, n in counts(fields).items() if n}


def mapping(value: Any) -> Mapping[str, Any]:
    """Give an object, or an empty one in the place of anything else."""
    return value if isinstance(value, Mapping) else _NOTHING


def answer_id(data: Mapping[str, Any]) -> str | None:
    """Read the id that most formats give to an answer, in the first event of a stream too."""
    inner = mapping(data.get("message")).get("id")
    return string(data.get("id")) or string(data.get("responseId")) or string(inner)
