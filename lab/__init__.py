"""The laboratory: a simulated FreeSWITCH, simulated SIP carriers, callees and the judge.

Nothing here runs in production; tests and the demo import it.
"""
