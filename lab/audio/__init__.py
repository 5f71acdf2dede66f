"""Sounds made and recognised without any library: 16-bit mono PCM."""
