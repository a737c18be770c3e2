"""Agents, the worlds they act in, and what came of it."""
