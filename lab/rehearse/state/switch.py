"""A switch of a rehearsal, and the legs at its carriers: what really happens, whoever gets to hear of it.

It answers what a FreeSWITCH answers (uuid_exists, uuid_dump, show channels with its lag, hash select, a refused duplicate),
tells each change of a channel once, and dies with all it knows. A carrier does not notice that: its leg lives on by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

from calls.evidence import End, Evidence, Source, State
from lab.rehearse.clock import SECOND, Clock
from lab.rehearse.desk import Attempt
from lab.rehearse.state.desk import moment
from lab.stories import Story

if TYPE_CHECKING:
    from lab.rehearse.carriers import Carrier
    from lab.rehearse.state.witness import Witness

#: us; ``show channels`` is at most so far behind.
LAG_US = SECOND
#: us; an INVITE without any answer is sent until then, also after its channel is gone.
DEATH_US = 5_900_000
#: us; how long a carrier rings on, or holds an answered call, when its switch has died without a BYE.
RINGS_ON_US, TALKS_ON_US, TRIES_ON_US = 60 * SECOND, 120 * SECOND, 32 * SECOND


class Channel:
    """A leg with a channel; ``story`` is what the carrier will make of it, ``at`` what has happened so far."""

    __slots__ = ("asked", "at", "attempt", "began", "carrier", "over", "story")

    def __init__(self, attempt: Attempt, carrier: Carrier, story: Story, began: int) -> None:
        self.attempt, self.carrier, self.story, self.began = attempt, carrier, story, began
        self.at: dict[State, int] = {}
        self.asked: str | None = None
        self.over = False

    @property
    def state(self) -> State:
        """How far it is."""
        return max(self.at, key=list(State).index)

    @property
    def heard(self) -> bool:
        """Whether the carrier has answered in any way."""
        return len(self.at) > 1


class Switch:
    """``tell(evidence)`` puts an event on the network; ``refused(attempt, local)`` is a BACKGROUND_JOB with -ERR."""

    def __init__(self, name: str, clock: Clock, witness: Witness, seed: int) -> None:
        self.name = name
        self._clock, self._witness = clock, witness
        self._random = Random(f"switch {seed} {name}")
        self.tell: Callable[[Evidence], None] = lambda _: None
        self.refused: Callable[[Evidence, bool], None] = lambda *_: None
        self.up = True
        self.core, self.core_since = 1, clock.now
        self.channels: dict[UUID, Channel] = {}
        self.tombstones: dict[UUID, int] = {}
        self._ended: deque[tuple[int, UUID]] = deque()
        self._sequence = 0

    # --- what it is asked -----------------------------------------------------------------------------------------

    def listed(self) -> set[UUID]:
        """``show channels``, up to a second behind."""
        now = self._clock.now
        then = now - self._random.randint(0, LAG_US)
        while self._ended and self._ended[0][0] < now - LAG_US:
            self._ended.popleft()
        return {id_ for id_, c in self.channels.items() if c.began <= then} | {id_ for at, id_ in self._ended if at > then}

    def exists(self, attempt: UUID) -> bool:
        return attempt in self.channels

    def how_far(self, attempt: UUID) -> Evidence | None:
        """``uuid_dump``."""
        channel = self.channels.get(attempt)
        if channel is None:
            return None
        state = channel.state
        at = moment(channel.at[state])
        return Evidence(attempt, f"dump:{attempt}:{state}", Source.RECONCILE, state, at)

    def kill(self, attempt: UUID, who: str) -> bool:
        """``uuid_kill``, its author noted; False: there is no such channel."""
        channel = self.channels.get(attempt)
        if channel is None:
            return False
        channel.asked = channel.asked or who
        self._hang_up(channel)
        return True

    # --- what it is told to do ------------------------------------------------------------------------------------

    def originate(self, one: Attempt, fence: int, carrier: Carrier, story: Story) -> None:
        """Tombstone and originate."""
        self.tombstones[one.id] = fence
        now = self._clock.now
        if one.id in self.channels:
            end = End("DESTINATION_OUT_OF_ORDER", moment(now), local=True)
            self.refused(Evidence(one.id, f"{self._key()}", Source.RECONCILE, State.ENDED, moment(now), end), False)
            return
        if not story.sent:
            end = story.end(moment(now))
            self.refused(Evidence(one.id, f"{self._key()}", Source.RECONCILE, State.ENDED, end.at, end), True)
            return
        channel = self.channels[one.id] = Channel(one, carrier, story, now)
        self._witness.invited(one, carrier, story)
        one.invited = True
        if carrier.again_us:
            self._clock.after(carrier.again_us, self._witness.invited_again, carrier)
        for state, us in story.states():
            self._clock.at(now + us, self._reaches, (channel, state))
        self._clock.at(now + story.end_us, self._ends, channel)

    def _reaches(self, what: tuple[Channel, State]) -> None:
        channel, state = what
        if channel.over:
            return
        now = self._clock.now
        channel.at[state] = now
        self._witness.reached(channel.attempt.id, state)
        self.tell(Evidence(channel.attempt.id, self._key(), Source.EVENT, state, moment(now)))

    def _ends(self, channel: Channel) -> None:
        if not channel.over:
            story = channel.story
            # Without any answer the INVITE is sent on for a while; a 200 that our CANCEL met is hung up at once.
            silent = story.shape.ends == "pdd_timeout"
            self._close(channel, story.end(moment(channel.began)), self._random.randint(0, DEATH_US) if silent else 0)

    def _hang_up(self, channel: Channel) -> None:
        answered = channel.at.get(State.IN_PROGRESS)
        end = End(
            "NORMAL_CLEARING" if answered is not None else "ORIGINATOR_CANCEL",
            moment(self._clock.now),
            q850_cause=16,
            sip_code=200 if answered is not None else None,
            disposition="send_bye" if answered is not None else "send_cancel",
            requested_by=channel.asked,
        )
        times = {"ringing_at": State.RINGING, "early_at": State.EARLY, "answered_at": State.IN_PROGRESS}
        known = {name: moment(channel.at[state]) for name, state in times.items() if state in channel.at}
        self._witness.killed(channel.attempt.id, channel.asked)
        after = 0 if channel.heard else self._random.randint(0, DEATH_US)
        self._close(channel, replace(end, **known), after)  # type: ignore[arg-type]

    def _close(self, channel: Channel, end: End, leg_us: int) -> None:
        now, id_ = self._clock.now, channel.attempt.id
        channel.over = True
        del self.channels[id_]
        self._ended.append((now, id_))
        self._clock.after(leg_us, self._leg_over, channel)
        told = Evidence(id_, self._key(), Source.EVENT, State.ENDED, end.at, end)
        self._witness.ended(channel.attempt, end)
        self.tell(told)

    def _leg_over(self, channel: Channel) -> None:
        self._witness.freed(channel.attempt, channel.carrier)

    def _key(self) -> str:
        self._sequence += 1
        return f"{self.name}/{self.core}:{self._sequence}"

    # --- what happens to it ---------------------------------------------------------------------------------------

    def crash(self) -> None:
        """All channels and tombstones are gone; no BYE, no CANCEL, no event says so."""
        self.up = False
        self.tombstones.clear()
        self._ended.clear()
        for channel in self.channels.values():
            channel.over = True
            on = RINGS_ON_US if channel.heard else TRIES_ON_US
            if State.IN_PROGRESS in channel.at:
                on = TALKS_ON_US
            self._witness.crashed(channel.attempt)
            self._clock.after(self._random.randint(SECOND, on), self._leg_over, channel)
        self.channels = {}

    def restart(self) -> None:
        """Another process under the same name."""
        self.up = True
        self.core, self.core_since = self.core + 1, self._clock.now
