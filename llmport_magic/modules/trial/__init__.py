"""Tries an answer on copies of the user's data, in the sandbox, and says what came of it."""
