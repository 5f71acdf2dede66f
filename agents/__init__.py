"""Voices that talk on calls. They speak WebSocket with the relay (docs/agent-protocol.md) and know nothing else of it."""
