"""The relay: carries audio between a parked channel and the agent that talks on it. asyncio, one process per switch."""
