"""What one request takes of a limit that kernels share."""

from __future__ import annotations

from llmport_magic.llm.limits import Charge, RateLimits, charge


def one(per_minute: float, tokens: float = 0, **more: float) -> Charge:
    """Give what one request takes where kernels share the limit."""
    return charge(RateLimits(per_minute, **more), tokens, shared=True)
