"""Connectors to every model provider; usable without Jupyter."""
