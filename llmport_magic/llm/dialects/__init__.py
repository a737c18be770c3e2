"""Dialects: one file of pure functions for each wire format."""
