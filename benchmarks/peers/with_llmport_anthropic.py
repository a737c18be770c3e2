"""This project's connector in Anthropic's format, beside the anthropic SDK."""

from __future__ import annotations

import with_llmport


class Client(with_llmport.Client):
    """Asks the messages API."""

    dialect = "anthropic_messages"
