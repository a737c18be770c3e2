"""Scripts that run in the sandbox's processes, loaded by path and not as part of the package."""
