"""A rehearsal of the fleet: the budget's scripts for seats, with keepers, workers and relays on the virtual clock, and every
call an agent's of a pool. ``world.rehearse_fleet`` runs it, ``plan.with_fleet`` makes its plan of another.
"""
