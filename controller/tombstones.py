"""Tombstones: what proves, after a crash, whether an originate was sent. mod_hash keeps them on the switch itself."""

from __future__ import annotations

import logging
from uuid import UUID

from controller import commands, esl_replies
from controller.board import Board
from controller.esl import EslError, EslLink

log = logging.getLogger(__name__)

_PROBE = UUID(int=1)


def kept(link: EslLink, realm: str) -> bool:
    """Writes one and reads it back: a switch without mod_hash would let us dial with nothing to prove it by."""
    try:
        link.call(commands.hash_insert(realm, _PROBE, 1))
        found = esl_replies.fence(link.call(commands.hash_select(realm, _PROBE))) == 1
        for pending in link.write([commands.hash_delete(realm, _PROBE)]):
            pending.wait()
    except (EslError, esl_replies.ReplyError) as error:
        log.error("no dialing: the switch keeps no tombstones; load mod_hash", extra={"error": str(error)})
        return False
    return found


def check(board: Board) -> None:
    """Notes whether the switch behind the present connection keeps tombstones; without them nothing is dialed."""
    connection = board.link.counters.connects
    board.tombstones = connection if kept(board.link, board.settings.tombstone_realm) else 0
