"""Runs a candidate where it can do no harm: `sandboxing.run(job)` is the entry for everybody."""
