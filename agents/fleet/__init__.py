"""The fleet: worker processes of ours that take one call each. A keeper a host, started by ``python -m agents``."""
