"""Who is asked where one provider fails: the chain, its health, and a connector over all of it."""
