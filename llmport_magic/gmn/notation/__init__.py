"""Reading and writing specifications: text, JSON and other dialects."""
