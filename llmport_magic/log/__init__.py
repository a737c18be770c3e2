"""The record of every prompt and answer."""
