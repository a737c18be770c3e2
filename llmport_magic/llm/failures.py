"""Wording of failures that arrive as a response: what happened, what to do next, no secret."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

from llmport_magic.errors import LLMContentError, LLMError, LLMStreamError
from llmport_magic.llm.retry import is_retried, retry_after
from llmport_magic.secrets import redact

if TYPE_CHECKING:
    from llmport_magic.llm.transport import Incoming
    from llmport_magic.llm.wire import Dialect, ErrorDetails, Target

_LONGEST_MESSAGE = 500
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_HTML = re.compile(rb"^\s*(?:<!doctype html|<html|<head|<body)", re.IGNORECASE)
_BLOCKED = frozenset({"content_filter", "content_policy_violation", "responsible_ai_policy"})
# Google answers 400 to a bad key: https://ai.google.dev/gemini-api/docs/troubleshooting
_BAD_KEY = frozenset({"API_KEY_INVALID"})
_UNAUTHORIZED = 401
_MINUTE, _HOUR = 60, 3600


def status_failure(incoming: Incoming, body: bytes, dialect: Dialect) -> LLMError:
    """Make the error of a response whose status is not a success."""
    details = dialect.read_error(_parsed(body))
    status = incoming.status
    wait = retry_after(incoming.headers)
    if wait is None and details:
        wait = details.retry_after
    return _failure(incoming, body, details, status, wait)


def body_failure(incoming: Incoming, body: bytes, details: ErrorDetails) -> LLMError:
    """Make the error of an error object inside a response that calls itself a success."""
    status = details.status if details.status and details.status >= 400 else incoming.status
    return _failure(incoming, body, details, status, details.retry_after)


def stream_failure(incoming: Incoming, details: ErrorDetails, partial: str) -> LLMError:
    """Make the error of an error object, or of a blocked answer, in the middle of a stream."""
    known: dict[str, Any] = {
        "status": details.status,
        "request_id": incoming.request_id or None,
        "provider": incoming.outgoing.target.provider,
        "model": incoming.outgoing.target.model,
    }
    who, said = _who(incoming.outgoing.target), shown(details.message)
    if details.code in _BLOCKED:
        return LLMContentError(f"{who} blocked this: {said}: change what the prompt says", **known)
    told = f"{said}: {details.advice}" if details.advice else said
    return LLMStreamError(f"{who} broke the answer off: {told}", partial=partial, **known)


def format_failure(incoming: Incoming, body: bytes) -> LLMError:
    """Make the error of a successful response that is no answer of this format."""
    who = _who(incoming.outgoing.target)
    if _HTML.match(body):
        what = f"the server sent HTML, not an answer ({shown(_plain(body))})"
    elif not body.strip():
        what = f"the server sent an empty answer (status {incoming.status})"
    else:
        kind = incoming.headers.get("content-type", "no content type")
        what = f"the server sent something that is no answer ({shown(kind)}: {shown(_plain(body))})"
    return LLMStreamError(
        f"{who}: {what}: check `base_url`",
        status=incoming.status,
        request_id=incoming.request_id or None,
        provider=incoming.outgoing.target.provider,
        model=incoming.outgoing.target.model,
    )


def not_sent(error: Exception, url: str, hint: str, connect: float) -> tuple[str, bool, bool]:
    """Say why a request could not be sent.

    httpx and httpx2 have the same names for the same errors: the names are what counts.

    Args:
        error: of the HTTP library.
        url: where the request was to go.
        hint: what to do where nobody answers.
        connect: the deadline for the connection, in seconds.

    Returns:
        What happened and what to do, whether it may be sent again, and whether it took too long.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    where, said = redact(url), shown(str(error))
    if "ConnectTimeout" in kinds:
        what = f"no connection to {where} within {connect:g} s (`connect_timeout`)"
        return f"{what}: check the address and the network", True, True
    if "ProxyError" in kinds:
        # The proxy's status stands first; one like 407 is its last word.
        what = f"the proxy refused the connection ({said}): check HTTPS_PROXY"
        return what, not said.startswith("4"), False
    if "ConnectError" in kinds:
        return *_not_connected(said, where, hint), False
    if "TransportError" in kinds:
        kind = type(error).__name__
        return f"the connection broke before an answer began ({kind}): try again", True, False
    return f"cannot send to {where}: {said}", False, False


def _not_connected(said: str, where: str, hint: str) -> tuple[str, bool]:
    lower = said.lower()
    if "certificate" in lower:
        what = f"the TLS certificate of {where} is not trusted ({said})"
        return f"{what}: check SSL_CERT_FILE and the address", False
    if "ssl" in lower:
        return f"no TLS connection to {where} ({said}): check the scheme of `base_url`", False
    if "name or service" in lower or "getaddrinfo" in lower or "resolution" in lower:
        return f"no such host: {where}: check `base_url` and the network", True
    start = hint or "start the server there"
    return f"nobody answers at {where}: {start} or check `base_url`", True


def shown(text: str) -> str:
    """Give a provider's words as one redacted line of bounded length."""
    line = redact(" ".join(text.split()))
    return line if len(line) <= _LONGEST_MESSAGE else line[:_LONGEST_MESSAGE] + "…"


def _failure(
    incoming: Incoming,
    body: bytes,
    details: ErrorDetails | None,
    status: int,
    wait: float | None,
) -> LLMError:
    from llmport_magic.llm.transport import LLMStatusError

    target = incoming.outgoing.target
    said = shown(details.message) if details else shown(_plain(body))
    kind = _UNAUTHORIZED if details and details.code in _BAD_KEY else status
    advice = (details and details.advice) or _advice(incoming, target, kind, wait)
    message = _sentence(incoming, status, said, advice)
    known: dict[str, Any] = {
        "provider": target.provider,
        "model": target.model,
        "status": status,
        "request_id": incoming.request_id or None,
    }
    if details and details.code in _BLOCKED:
        return LLMContentError(message, **known)
    response = incoming.scrubbed(body)
    error = LLMStatusError(
        message, request=response.request, response=response, retryable=is_retried(status), **known
    )
    error.retry_after = wait
    error.key_refused = kind == _UNAUTHORIZED
    return error


def _sentence(incoming: Incoming, status: int, said: str, advice: str) -> str:
    who = _who(incoming.outgoing.target)
    told = f" ({said})" if said else ""
    request = f" [request {incoming.request_id}]" if incoming.request_id else ""
    return f"{who} answered {status}{told}: {advice}{request}"


def _advice(incoming: Incoming, target: Target, status: int, wait: float | None) -> str:  # noqa: PLR0911 - one for each status
    key = " or ".join(f"`{name}`" for name in target.key_vars) or "`api_key`"
    match status:
        case 401:
            return f"check the key in {key}"
        case 402:
            return f"the account behind the key in {key} has no credit left"
        case 403:
            return f"the key in {key} may not use `{redact(target.model)}`"
        case 404:
            from llmport_magic.llm.retirement import instead_of

            what = instead_of(target.provider, target.model)
            return f"there is no model {redact(f'`{target.model}` at {target.base_url}')}: {what}"
        case 407:
            return "the proxy wants credentials: check HTTPS_PROXY"
        case 413:
            return "the request is too long: send less"
        case 429:
            return f"too many requests: try again {_when(wait)}"
        case _ if 300 <= status < 400:
            host = _host(incoming.headers.get("location", ""))
            return f"it redirects to {host}, which is not followed: set `base_url`"
        case _ if is_retried(status):
            return f"the provider has a problem: try again {_when(wait)}"
        case _:
            return "the request is not accepted: change what it says"


def _when(wait: float | None) -> str:
    if wait is None:
        return "later"
    if wait >= _HOUR:
        return f"in {wait / _HOUR:.3g} h"
    return f"in {wait / _MINUTE:.3g} min" if wait >= 2 * _MINUTE else f"in {wait:.3g} s"


def _host(location: str) -> str:
    from urllib.parse import urlsplit

    try:
        host = urlsplit(location).hostname
    except ValueError:
        host = None
    return f"`{shown(host)}`" if host else "another place"


def _who(target: Target) -> str:
    return f"`{target.provider}`"


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _plain(body: bytes) -> str:
    text = html.unescape(_TAGS.sub(" ", body[:20_000].decode("utf-8", "replace")))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    first = next((line for line in lines if line), "")
    return first[:200]
