"""The simulated FreeSWITCH: real ESL over TCP, real SIP to the carriers, callees whose audio is made here."""

from __future__ import annotations
