"""Runs and specifications to look at."""
