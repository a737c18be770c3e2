"""The arrays that a specification stands for, and whether they can be used."""
