"""The little SIP (RFC 3261) that the simulated carrier and the simulated switch share."""
