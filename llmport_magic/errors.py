"""Every error of the package, by whose fault it is.

LLMPortError
├── UserError                 the request itself cannot be served as written
│   ├── UsageError            a bad option or an empty cell
│   ├── ConfigError           a setting is missing, unknown or has a bad value
│   │   └── MissingKeyError   there is no key for a provider that needs one
│   ├── ModuleNameError       the name cannot be a module's name
│   ├── ModuleNotStoredError  no module of that name to work on
│   └── ConflictError         going on would leave somebody's edits behind
├── GMNError                  a specification is not valid; it has the findings
│   └── GMNOutputError        the same of what a model wrote: an LLMError, too
├── LLMError                  a model did not deliver
│   ├── LLMContextError       the prompt is longer than the model's window; it was not sent
│   ├── (LLMConnectionError, LLMTimeoutError, LLMStatusError: `llm/transport.py`)
│   ├── LLMStreamError        the answer broke off or is not in the provider's format
│   ├── LLMContentError       the provider or the model refused
│   ├── LLMLimitError         the limit that the user set would make the call wait too long
│   ├── LLMOutputError        the answer is whole, but holds no module or not the JSON asked for
│   ├── LLMFailoverError      several providers were asked, and none delivered
│   └── MissingPackageError   generated code needs a package that is not installed
├── GeneratedCodeError        the answer is a module, and it is wrong
│   ├── VerificationError     an example failed, or the code does not import
│   └── ConsentRequired       the code does something that only the user may allow
└── StoreError                the module store or the log cannot be read or written

Each message is one line: what happened, then what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class LLMPortError(Exception):
    """Base of every error that this package raises on purpose."""

    def _render_traceback_(self) -> list[str]:
        """Show one line in a notebook: IPython calls this instead of drawing a traceback.

        A traceback of ours helps nobody, and one drawn with locals could show a secret.
        """
        return [f"{type(self).__name__}: {self}"]


class UserError(LLMPortError):
    """The request cannot be served as the user wrote it."""


class UsageError(UserError, ValueError):
    """A cell or a call has a bad option, a missing name or no prompt."""


class ConfigError(UserError, ValueError):
    """A setting is missing, unknown, or has a value that cannot be used."""


class MissingKeyError(ConfigError):
    """There is no key for a provider that needs one.

    Attributes:
        provider: its name in the registry.
    """

    def __init__(self, message: str = "", *, provider: str = "") -> None:
        self.provider = provider
        super().__init__(message)


class ModuleNameError(UserError, ValueError):
    """The name cannot be the name of a generated module."""


class ModuleNotStoredError(UserError, FileNotFoundError):
    """There is no module of that name to update, show or register."""

    def __str__(self) -> str:
        return Exception.__str__(self)


class ConflictError(UserError):
    """Going on would silently leave a version behind that somebody wrote or chose."""


class GMNError(LLMPortError, ValueError):
    """A specification of an agent is not valid, or cannot be used for what was asked.

    Attributes:
        findings: everything that is wrong, a line each.
    """

    def __init__(self, message: str = "", *, findings: Sequence[str] = ()) -> None:
        self.findings = tuple(findings)
        super().__init__(message)


class LLMError(LLMPortError):
    """A model did not deliver: the base of every failure of a call.

    Attributes:
        provider: the provider's name, or `None` before one was chosen.
        model: the model's name as the provider spells it.
        status: the HTTP status, where there was one.
        request_id: the provider's id of the request, where it gave one.
        retryable: whether the same request may succeed later.
        attempts: how many times the request was sent.
        unreachable: whether there was no connection at all.
        key_refused: whether it is the key that the provider does not take.
        attempts_made: one mapping for each provider that a router asked, as in a response's
            `metadata["attempts"]`.
    """

    unreachable: bool = False
    key_refused: bool = False
    attempts_made: tuple[Mapping[str, Any], ...] = ()

    def __init__(
        self,
        message: str = "",
        *,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retryable: bool = False,
        attempts: int = 1,
        **extra: Any,
    ) -> None:
        self.provider = provider
        self.model = model
        self.status = status
        self.request_id = request_id
        self.retryable = retryable
        self.attempts = attempts
        super().__init__(message, **extra)


class LLMStreamError(LLMError):
    """The answer broke off, stalled, outgrew a limit or is not in the provider's format.

    Attributes:
        partial: the text that had arrived.
    """

    def __init__(self, message: str = "", *, partial: str = "", **details: Any) -> None:
        self.partial = partial
        super().__init__(message, **details)


class LLMContextError(LLMError):
    """The prompt is longer than the model's window; it was not sent.

    Attributes:
        prompt_tokens: of the prompt, estimated.
        max_tokens: the longest answer that was asked for, or `None`.
        window: tokens of prompt and answer together that the model takes.
    """

    def __init__(
        self,
        message: str = "",
        *,
        prompt_tokens: int = 0,
        max_tokens: int | None = None,
        window: int = 0,
        **details: Any,
    ) -> None:
        self.prompt_tokens = prompt_tokens
        self.max_tokens = max_tokens
        self.window = window
        super().__init__(message, **details)


class LLMContentError(LLMError):
    """The provider blocked the request or the answer, or the model refused."""


class LLMLimitError(LLMError):
    """A limit on requests or tokens a minute would make the call wait longer than it may take.

    Nothing was sent, or nothing more: it says nothing about the provider.
    """


class LLMOutputError(LLMError):
    """The answer is empty, cut off at the token limit, or holds no module or JSON as asked.

    Attributes:
        text: the answer as it came.
    """

    def __init__(self, message: str = "", *, text: str = "", **details: Any) -> None:
        self.text = text
        super().__init__(message, **details)


class GMNOutputError(LLMOutputError, GMNError):
    """A model wrote no valid specification within its tries; `text` is its last answer."""

    def __init__(
        self, message: str = "", *, findings: Sequence[str] = (), text: str = "", **details: Any
    ) -> None:
        super().__init__(message, text=text, **details)
        self.findings = tuple(findings)


class LLMFailoverError(LLMError):
    """Several providers were asked one after the other, and none delivered.

    Attributes:
        failures: what each of them raised, in the order in which they were asked; `provider`,
            `model`, `status` and `request_id` are those of the last.
    """

    def __init__(
        self, message: str = "", *, failures: Sequence[Exception] = (), **details: Any
    ) -> None:
        self.failures = tuple(failures)
        super().__init__(message, **details)


class MissingPackageError(LLMError, ImportError):
    """Generated code needs a package that is not installed.

    Attributes:
        module: the import name that was not found, for example `cv2`.
        distribution: what to install, for example `opencv-python`, or `None` when unknown.
    """

    def __init__(
        self, message: str, *, module: str, distribution: str | None = None, **details: Any
    ) -> None:
        self.module = module
        self.distribution = distribution
        super().__init__(message, **details)


class GeneratedCodeError(LLMPortError):
    """The model's answer is a module, and the module is wrong or needs consent."""


class VerificationError(GeneratedCodeError):
    """An example failed or the code does not import; nothing was registered.

    Attributes:
        findings: one line for each thing that is wrong, the first one first.
        source: the candidate's text, kept as a draft.
    """

    def __init__(self, message: str, *, findings: tuple[str, ...] = (), source: str = "") -> None:
        self.findings = findings
        self.source = source
        super().__init__(message)


class ConsentRequired(GeneratedCodeError):
    """The code does something that only the user may allow."""


class StoreError(LLMPortError):
    """The module store or the log cannot be read or written."""


def __getattr__(name: str) -> Any:
    """Give the errors of the wire, which import the HTTP library, when they are first named."""
    if name in ("LLMConnectionError", "LLMStatusError", "LLMTimeoutError"):
        from llmport_magic.llm import transport

        return getattr(transport, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
