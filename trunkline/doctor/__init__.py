"""``trunkline doctor``: is this house set up so that it can be trusted with calls? Each finding with its remedy.

One file a subject. Each subject has a function that asks, and a pure one (``judge_...``) that says what the answers mean.
"""
