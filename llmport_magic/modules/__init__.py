"""Generated modules: prompts in, checked and versioned source out."""
