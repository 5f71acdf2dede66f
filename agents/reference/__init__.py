"""The reference agent: greets, echoes what it hears after a pause, understands keys, ends the call when told."""
