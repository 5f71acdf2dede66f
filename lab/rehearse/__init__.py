"""A rehearsal: the budget's own Lua on a virtual clock, with tenants, carriers, controllers and faults from a seed.

``run.rehearse`` runs a ``plan.Plan``; ``draw.draw`` makes one from a seed; ``drawing.drawing`` draws what came of it.
"""
