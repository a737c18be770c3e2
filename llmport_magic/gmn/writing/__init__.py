"""Having specifications written by models."""
