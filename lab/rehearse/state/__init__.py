"""A rehearsal of call state: the budget's rehearsal with rows, switches, networks that lose, and everything that dies.

``world.rehearse_state`` runs it. The rules are the product's own: store.work, calls.lifecycle, calls.retry, calls.watch.
"""
