"""What the environment of the process says, and where the user's own files lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_NETWORK_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", *_PROXIES, *map(str.lower, _PROXIES))


class _Environment(dict[str, str]):
    """A copy of the environment that shows nothing of it: there are keys in it."""

    def __repr__(self) -> str:
        return f"<{len(self)} environment variables>"

    def __copy__(self) -> _Environment:
        return self

    def __deepcopy__(self, _: Any) -> _Environment:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled, it is the environment of the process that reads it.
        return variables, ()


def variables() -> Mapping[str, str]:
    """Give a copy of the environment variables, which is looked up in much faster."""
    return _Environment(os.environ)


def user_config_file() -> Path:
    """Give the path of the user's settings file, whether or not it is there."""
    import platformdirs

    return Path(platformdirs.user_config_dir("llmport_magic")) / "config.toml"


def network_environment() -> tuple[str | None, ...]:
    """Give what the environment says about proxies and certificate authorities."""
    return tuple(map(os.environ.get, _NETWORK_VARIABLES))


def allows_colour() -> bool:
    """Tell whether text may be coloured: `NO_COLOR` says no (https://no-color.org, 2026-11-21)."""
    return not os.environ.get("NO_COLOR")


def captures_content() -> bool:
    """Tell whether what is said to a model may be recorded in the spans of a trace.

    The values are those that opentelemetry-util-genai documents (its README in
    https://github.com/open-telemetry/opentelemetry-python-contrib, read 2026-11-21), and `true` of
    the versions before.
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


def named_config_file() -> str | None:
    """Give the path of the settings file that `LLMPORT_CONFIG` names, where it does."""
    return os.environ.get("LLMPORT_CONFIG", "").strip() or None
