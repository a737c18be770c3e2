"""What the text of a module says that it would do: `review.assess(source)` is the entry."""
