"""Other notations for the same agents, each read into the nodes of ours; none is written."""
