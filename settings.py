"""Every limit and timer of Trunkline: one documented place.

Each field names its unit in its description and is read from the environment as ``TRUNKLINE_<NAME>`` (upper case);
``DATABASE_URL`` and ``REDIS_URL`` keep their customary names. ``python -m settings`` prints the table.
Errors: a value out of range raises ``pydantic.ValidationError`` that names the field.
"""

from __future__ import annotations

import socket
from functools import lru_cache

from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from calls.access import networks
from calls.place_zones import window_zone


class Settings(BaseSettings):
    """Read once per process by :func:`get_settings`; tests build their own."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_", extra="ignore", frozen=True, populate_by_name=True)

    # --- servers -------------------------------------------------------------------------------------------------
    database_url: str = Field(
        "postgresql:///trunkline",
        validation_alias=AliasChoices("DATABASE_URL", "database_url"),
        description="libpq address of Postgres, the truth",
    )
    web_database_url: str = Field(
        "",
        repr=False,
        validation_alias=AliasChoices("WEB_DATABASE_URL", "web_database_url"),
        description="libpq address by which web serves tenants' requests: a login that owns nothing and is a member of"
        " trunkline_web; empty: DATABASE_URL",
    )
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        description="address of Redis, the moment",
    )
    db_pool_size: int = Field(8, ge=1, le=100, description="Postgres connections per process")
    db_statement_timeout_ms: int = Field(5000, ge=100, description="ms; no statement may run longer")
    db_pool_timeout_s: float = Field(3.0, gt=0, description="s; longest wait for a free Postgres connection")
    redis_timeout_s: float = Field(2.0, gt=0, description="s; longest wait for one Redis reply")

    # --- web -----------------------------------------------------------------------------------------------------
    web_host: str = Field("127.0.0.1", description="address the API listens on")
    web_port: int = Field(8080, ge=0, le=65535, description="port the API listens on")
    max_body_bytes: int = Field(65_536, ge=1024, description="bytes; a larger request body is refused (413)")
    batch_max_rows: int = Field(10_000, ge=1, le=10_000, description="calls in one POST /v1/batches, at most")
    batch_max_bytes: int = Field(8 << 20, ge=1024, description="bytes; a larger body of POST /v1/batches is refused (413)")
    max_metadata_bytes: int = Field(16_384, ge=0, description="bytes; metadata as compact JSON, at most")
    max_variables_bytes: int = Field(16_384, ge=0, description="bytes; agent_variables as compact JSON, at most")
    max_runtime_bytes: int = Field(32_768, ge=1024, description="bytes; an agent's runtime as compact JSON, at most")
    max_result_bytes: int = Field(1 << 20, ge=4096, description="bytes; a larger result of an agent is refused (413)")
    idempotency_ttl_s: int = Field(72 * 3600, ge=3600, description="s; how long an Idempotency-Key is remembered")
    max_ahead_s: int = Field(31 * 86_400, ge=60, description="s; not_before may lie this far ahead, expires_at twice as far")
    default_expires_s: int = Field(24 * 3600, ge=1, description="s; a call not dialed by then ends as expired")
    tenant_max_queued: int = Field(
        1_000_000, ge=0, description="calls a tenant may have queued; a tenant's own max_queued goes before it"
    )
    requests_per_s: float = Field(
        50.0, ge=0.001, le=10_000, description="API requests/s of one tenant; a tenant's own requests_per_s goes before it"
    )
    operator_requests_per_s: float = Field(20.0, ge=0.001, le=10_000, description="API requests/s of one operator's key")
    tenant_max_keys: int = Field(100, ge=1, description="API keys of one tenant in force at the same time, at most")
    trusted_proxies: str = Field(
        "",
        description="networks (CIDR, by commas) of our own proxies: they alone are believed an X-Forwarded-For; empty: none",
    )

    # --- CDRs, the second witness ---------------------------------------------------------------------------------
    cdr_user: str = Field("freeswitch", pattern=r"^[A-Za-z0-9._-]{1,64}$", description="user of who posts to /internal/cdr")
    cdr_password: str = Field("", repr=False, description="password of that user; empty: no CDR is taken (503)")
    cdr_max_bytes: int = Field(
        4 << 20, ge=1 << 16, description="bytes; a larger CDR is refused (413); every playback of a call is in its record"
    )
    cdr_spool: str = Field(
        "", description="directory where the switch leaves CDRs it could not post; empty: none is shipped"
    )
    cdr_url: str = Field(
        "http://127.0.0.1:8080/internal/cdr",
        pattern=r"^https?://[^\s/?#@]+/[^\s?#]*$",
        description="where spooled CDRs are posted; no user or password in it",
    )
    cdr_spool_interval_s: float = Field(2.0, gt=0, description="s; between two looks into the spool directory")
    cdr_spool_backoff_s: float = Field(60.0, gt=0, description="s; longest wait after posts that failed in a row")
    cdr_timeout_s: float = Field(10.0, gt=0, description="s; one post of a spooled CDR, connect to last byte")

    # --- the switch ----------------------------------------------------------------------------------------------
    switch: str = Field("fs1", pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="name of the switch beside this process")
    lab_switch: bool = Field(
        False,
        description="this controller's switch is the laboratory: it dials carriers of the laboratory alone, for calls of"
        " test keys, and no other switch does (docs/test-keys.md)",
    )
    esl_host: str = Field("127.0.0.1", description="event socket address of the switch")
    esl_port: int = Field(8021, ge=1, le=65535, description="event socket port of the switch")
    esl_user: str = Field(
        "",
        description="user@domain by which the switch limits what we may send, controller@trunkline in freeswitch/conf;"
        " empty: login by the password alone, which is not limited",
    )
    relay_esl_user: str = Field(
        "", description="the same for the relay, relay@trunkline in freeswitch/conf; empty: it logs in as esl_user does"
    )
    esl_password: str = Field(
        "",
        repr=False,
        description="event socket password, of the users where they are named; there is no default on purpose",
    )
    esl_connect_timeout_s: float = Field(3.0, gt=0, description="s; TCP connect, auth and first reply together")
    esl_command_timeout_s: float = Field(2.0, gt=0, description="s; one command's reply; later the link is closed")
    esl_ping_interval_s: float = Field(1.0, gt=0, description="s; between pings of an idle command link")
    esl_backoff_min_s: float = Field(0.2, gt=0, description="s; first wait before a reconnect")
    esl_backoff_max_s: float = Field(10.0, gt=0, description="s; longest wait before a reconnect")
    esl_max_frame_bytes: int = Field(
        1 << 24, ge=1 << 16, description="bytes; a larger ESL frame closes the link; show channels takes 1 kB a channel"
    )
    esl_grace_s: float = Field(3.0, ge=0, description="s; how long a command may sit in a lost link's socket buffer")
    duty_lease_s: float = Field(
        1.2, ge=0.5, le=30, description="s; a controller that is silent for so long is replaced by one that stands by"
    )
    duty_keep_s: float = Field(15.0, ge=1, description="s; a controller that stands by remembers events for so long")
    heartbeat_missed: int = Field(3, ge=1, description="heartbeats missed in a row before a switch counts as down")
    heartbeat_interval_s: float = Field(20.0, gt=0, description="s; the switch's own heartbeat interval")
    max_unacked_originates: int = Field(2, ge=1, description="originates written and not yet acknowledged, per link")
    operator_hangups_per_s: float = Field(
        100.0, gt=0, description="calls/s that one switch hangs up for an operator who ends many (trunkline kill)"
    )
    kill_again_s: float = Field(
        1.0,
        ge=0,
        description="s; trunkline kill looks again after it: claims under way when the pause was written are seen then",
    )
    event_batch_ms: float = Field(10.0, ge=0, description="ms; events are gathered this long before one transaction")
    event_batch_max: int = Field(50, ge=1, description="events per transaction, at most")
    esl_event_queue: int = Field(1024, ge=16, description="events waiting per shard; past it the switch queues them")
    event_shards: int = Field(4, ge=1, le=64, description="greenlets that apply events, one call always on one of them")
    reconcile_interval_s: float = Field(10.0, gt=0, description="s; between two comparisons of rows and channels")
    tombstone_realm: str = Field("trunkline", pattern=r"^[a-z]+$", description="realm of mod_hash that holds tombstones")

    # --- the life of a call --------------------------------------------------------------------------------------
    popped_deadline_s: float = Field(5.0, gt=0, description="s; popped from a lane but not claimed: back to its front")
    pdd_s: int = Field(25, ge=1, le=120, description="s; INVITE to first 18x; past it the carrier is silent")
    ring_timeout_s: int = Field(30, ge=5, le=120, description="s; default ring time, first 18x to answer")
    ring_grace_s: float = Field(5.0, ge=0, description="s; added to the ring time before the watchdog asks the switch")
    max_duration_s: int = Field(3600, ge=10, le=14400, description="s; default longest talk time")
    duration_grace_s: float = Field(30.0, ge=0, description="s; added to the longest talk time before the watchdog asks")
    probe_grace_s: float = Field(3.0, gt=0, description="s; how long the switch has to answer the watchdog's question")
    max_attempts: int = Field(3, ge=1, le=10, description="attempts of one call over all reasons together")
    retry_busy_s: int = Field(120, ge=1, description="s; gap after a busy line, unless the call gives its own gaps")
    retry_no_answer_s: int = Field(600, ge=1, description="s; gap after no answer, unless the call gives its own gaps")
    retry_carrier_s: int = Field(
        5, ge=1, description="s; gap after a proven carrier fault, nobody rang, unless the call gives its own gaps"
    )
    retry_capacity_s: int = Field(2, ge=1, description="s; gap after a full trunk; uses up no attempt")
    retry_per_day: int = Field(
        0, ge=0, le=10, description="dials of a call per local day that may have rung; 0: no cap; a call may give its own"
    )
    retry_number_per_day: int = Field(
        0, ge=0, le=1000, description="the same of all calls of a tenant to one number; 0: no cap; a call may give its own"
    )
    recipient_time_zone: str = Field(
        "UTC", description="IANA zone, a place's or UTC, by whose days dials of calls without a window are counted"
    )

    # --- the budget ----------------------------------------------------------------------------------------------
    lane_window: int = Field(200, ge=1, description="attempts a lane takes from the API; newer calls queue in Postgres")
    lane_window_s: float = Field(5.0, gt=0, le=60, description="s of work that the feeder keeps in a lane, by its carriers")
    lane_window_min: int = Field(20, ge=1, description="attempts the feeder keeps in a lane however slow its carriers are")
    laned_max: int = Field(50_000, ge=1000, description="attempts the feeder keeps in all lanes together, about 1 kB each")
    spill_ms: int = Field(2000, ge=0, description="ms; a route's next tier serves what a better one could not begin by then")
    slot_horizon_ms: int = Field(120, ge=10, le=1000, description="ms; a slot is reserved at most this far ahead")
    slot_grace_ms: float = Field(10.0, gt=0, description="ms (G); not written by slot + G: the slot is burned")
    slot_lead_ms: float = Field(
        70.0, gt=0, description="ms; greatest distance of the earliest slot, to cover RQ and the claim"
    )
    slot_margin_ms: float = Field(
        12.0, gt=0, le=50, description="ms; a pump asks so long before it must; calls that are not urgent reserve no further"
    )
    slot_lead_min_ms: float = Field(
        20.0, gt=0, description="ms; least distance of a slot; the controller measures how much it needs"
    )
    round_trip_ms: float = Field(5.0, gt=0, description="ms (R); a slower permit reply burns its slot")
    switch_jitter_ms: float = Field(12.0, ge=0, description="ms; what the switch adds, write to INVITE, p99.9")
    jitter_ms: float = Field(30.0, ge=0, description="ms (J); grant-to-INVITE spread that the pacing pays for")
    challenge_jitter_ms: float = Field(
        50.0, ge=0, description="ms; added to J on digest trunks: spread of the way to the challenge and back"
    )
    slow_recover_s: float = Field(60.0, gt=0, description="s; a rate lowered by a carrier's refusal is back after this")
    grants_at_once: int = Field(8, ge=1, le=500, description="permits asked for in one request, at most")
    lease_s: float = Field(60.0, gt=5, description="s; an unrenewed lease becomes suspect; it frees nothing")
    linger_ms: int = Field(250, ge=0, description="ms; a channel still counts this long after its end")
    crash_linger_s: float = Field(
        300.0,
        ge=0,
        description="s; channels of a crashed switch count so long: no BYE was sent",
    )
    sip_death_s: float = Field(6.0, gt=0, description="s; timer T1X64: an unanswered INVITE is dead after this")
    pump_idle_s: float = Field(
        1.0, gt=0, le=1.0, description="s; a carrier without work is looked at this often, unless woken"
    )
    dial_greenlets: int = Field(200, ge=1, description="dial jobs in flight per controller")

    # --- health ---------------------------------------------------------------------------------------------------
    health_interval_s: float = Field(0.5, gt=0, le=10, description="s; between two looks at how the carriers do")
    health_window_s: float = Field(300.0, ge=30, le=3600, description="s; older calls say nothing of a carrier's health")
    health_quiet_s: float = Field(15.0, ge=2, description="s; nothing heard from a carrier for so long is silence")
    health_stop_share: float = Field(0.5, gt=0, lt=1, description="share of faults that is certain: the carrier is stopped")
    health_slow_share: float = Field(0.2, gt=0, lt=1, description="share of faults that is certain: the carrier is slowed")
    health_pause_s: float = Field(5.0, gt=0, description="s; first pause of a stopped carrier before it is tried; doubles")
    health_pause_max_s: float = Field(300.0, gt=0, description="s; longest pause of a stopped carrier")
    health_probes: int = Field(5, ge=1, le=100, description="counted calls by which a stopped carrier is tried")
    health_probe_interval_s: float = Field(1.0, gt=0, description="s; between two of those calls")
    health_forget_s: float = Field(600.0, gt=0, description="s; so long after a pause the next one is the first again")
    gateway_look_s: float = Field(10.0, gt=0, description="s; between two looks at each gateway of the switch")
    gateway_dir: str = Field(
        "",
        description="directory of gateways, included by the switch's configuration; empty: none is written",
    )

    # --- jobs ----------------------------------------------------------------------------------------------------
    feeder_interval_s: float = Field(0.25, gt=0, description="s; between two looks for due attempts, unless woken")
    feeder_batch: int = Field(500, ge=1, description="attempts read from the backlog at once, and pushed, at most")
    audit_interval_s: float = Field(10.0, gt=0, description="s; queued rows missing from their lane are pushed again")
    watchdog_interval_s: float = Field(0.5, gt=0, description="s; between two looks for passed deadlines")
    cancel_batch: int = Field(400, ge=1, description="calls of a canceled queue ended per look of the watchdog")
    webhook_timeout_s: float = Field(10.0, gt=0, description="s; one delivery, connect to last byte")
    webhook_interval_s: float = Field(0.2, gt=0, description="s; between two looks for due deliveries, unless woken")
    webhook_concurrency: int = Field(32, ge=1, description="deliveries in flight per dispatcher")
    webhook_per_url: int = Field(4, ge=1, description="deliveries in flight per endpoint")
    webhook_schedule_s: tuple[float, ...] = Field(
        (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400),
        min_length=1,
        description="s, as a JSON list; wait before the 1st, 2nd ... try of a delivery, each spread by a fifth",
    )
    webhook_disable_days: float = Field(
        5.0, gt=0, description="days of nothing but failures after which an endpoint is disabled"
    )
    webhook_keep_days: float = Field(
        30.0, ge=4, description="days; how long deliveries that are over, and their events, are kept"
    )
    webhook_endpoints: int = Field(16, ge=1, le=100, description="webhook endpoints per tenant, at most")
    webhook_allow_private: bool = Field(False, description="deliver to private addresses (laboratory only)")

    # --- the relay and agents ------------------------------------------------------------------------------------
    relay_host: str = Field(
        "127.0.0.1", pattern=r"^127\.0\.0\.1$", description="address mod_audio_fork connects to; loopback on purpose"
    )
    relay_port: int = Field(8090, ge=0, le=65535, description="port mod_audio_fork connects to")
    relay_audio_dir: str = Field(
        "/dev/shm/trunkline", description="directory for the agents' voices and spoken texts; tmpfs"
    )
    relay_prebuffer_frames: int = Field(100, ge=1, description="20 ms frames kept while the agent is not ready")
    relay_first_ms: int = Field(
        60, ge=20, le=1000, description="ms of agent audio gathered before a turn begins to be heard"
    )
    relay_ahead_ms: int = Field(
        200, ge=60, le=400, description="ms of agent audio the switch has ahead; so long the relay may stand still unheard"
    )
    agent_connect_timeout_s: float = Field(5.0, gt=0, description="s; TCP, TLS and WebSocket upgrade to the agent")
    agent_ready_timeout_s: float = Field(5.0, gt=0, description="s; from connected to the agent's ready")
    agent_reconnects: int = Field(2, ge=0, description="times that a websocket agent's lost socket is made anew in one call")
    agent_reconnect_timeout_s: float = Field(5.0, gt=0, description="s; from the loss to the new socket")
    agent_allow_private: bool = Field(False, description="connect to agents on private and loopback addresses")
    agent_ca_file: str = Field(
        "",
        description="PEM file of authorities of your own: agents' certificates that they signed are believed too",
    )
    runtime_url_base: str = Field(
        "",
        pattern=r"^(https?://[^\s/?#@]+)?$",
        description="where agents reach /internal/calls, as https://host without a path; empty: they are given the token"
        " alone, and have to know",
    )
    runtime_grace_s: int = Field(
        3600, ge=10, le=86_400, description="s; so long after the end of its attempt an agent may hand in its result"
    )
    fleet_url: str = Field(
        "http://127.0.0.1:8080/internal/seats", description="address that python -m agents tells of its seats"
    )
    seat_hold_s: float = Field(
        3.0, ge=0.5, le=60, description="s; a seat of the fleet not heard of for so long takes no call (docs/fleet.md)"
    )
    relay_fork_timeout_s: float = Field(3.0, gt=0, description="s; from answer to the media socket being up")
    relay_drain_s: float = Field(
        60.0, ge=0, description="s; after SIGTERM the relay carries its conversations so long, then the next relay does"
    )
    relay_max_buffer_s: float = Field(120.0, gt=0, description="s; agent audio kept for playback per call, at most")
    announcement_dir: str = Field("", description="directory of announcement audio the switch can read; empty: none")
    transfer_wait_s: float = Field(30.0, gt=0, description="s; the second leg of a transfer waits so long for a permit")
    tts_program: str = Field(
        "espeak-ng", description="speaks the texts of announcements, offline; on the hosts of the relays and of the API"
    )
    tts_timeout_s: float = Field(
        5.0, gt=0, description="s; for one text to be spoken; then the call ends, or is not greeted"
    )
    tts_call_timeout_s: float = Field(
        20.0,
        gt=0,
        description="s; for all texts of a call, its wait behind others included; then it ends, or is not greeted",
    )

    # --- recording -----------------------------------------------------------------------------------------------
    recording_spool: str = Field(
        "",
        pattern=r"^((/[A-Za-z0-9._-]+)+/?)?$",
        description="directory beside the switch where it writes recordings, and they are shipped from; empty: none is made",
    )
    recording_dir: str = Field("", description="directory of recordings, where no S3 bucket is set; empty: none")
    recording_s3_bucket: str = Field("", description="S3 bucket where recordings are kept; empty: recording_dir")
    recording_s3_endpoint: str = Field("", description="https address of the S3-compatible store; empty: Amazon's")
    recording_s3_region: str = Field("us-east-1", description="region of the bucket")
    recording_s3_prefix: str = Field(
        "", pattern=r"^([A-Za-z0-9._-]+/)*$", description="put before every key in the bucket; ends with /"
    )
    recording_s3_access_key: str = Field("", description="access key id; empty: as the S3 client finds it (role, AWS_*)")
    recording_s3_secret_key: str = Field("", repr=False, description="secret of that access key")
    recording_s3_part_bytes: int = Field(
        16 << 20, ge=5 << 20, le=1 << 30, description="bytes; a longer file is sent in parts of so much"
    )
    recording_s3_timeout_s: float = Field(30.0, gt=0, description="s; the store is silent for so long: tried again later")
    recording_url_secret: str = Field(
        "",
        repr=False,
        description="signs addresses into recording_dir; 32 characters or more; empty: none is given",
    )
    recording_url_base: str = Field(
        "", pattern=r"^(https?://[^\s/?#@]+)?$", description="public address of the API; empty: as the request came to it"
    )
    recording_url_ttl_s: int = Field(300, ge=10, le=7 * 86_400, description="s; an address of a recording is good so long")
    recording_days: int = Field(
        30,
        ge=1,
        le=36_500,
        description="days; recordings and agents' results are kept so long; a tenant's own recording_days goes before it",
    )
    recording_notice_max_s: float = Field(
        60.0, gt=0, description="s; a notice whose end is not heard of by then is none, and the call is not recorded"
    )
    recording_interval_s: float = Field(2.0, gt=0, description="s; between two looks into the recordings' spool")
    recording_settle_s: float = Field(
        2.0, ge=0, description="s; a file is not shipped before nothing was written for so long"
    )
    recording_missing_s: float = Field(
        60.0, gt=0, description="s; so long after the end of a call a recording without a file is given up"
    )
    recording_uploads: int = Field(4, ge=1, le=32, description="recordings on their way to the store at the same time")
    recording_backoff_s: float = Field(300.0, gt=0, description="s; longest wait after uploads that failed in a row")

    @property
    def records(self) -> bool:
        """Whether calls can be recorded here at all."""
        return bool(self.recording_spool)

    @property
    def jitter_floor_ms(self) -> float:
        """ms; the least J under which the pacing is proved: G + R + what the switch adds."""
        return self.slot_grace_ms + self.round_trip_ms + self.switch_jitter_ms

    def jitter_for(self, own_ms: int | None, invite_cost: int = 1) -> float:
        """ms; the J that a carrier is paced with. Its own may only widen it: a smaller one would prove nothing, because
        what we and the switch add does not depend on the carrier.

        The second INVITE of a digest trunk (``invite_cost`` 2) leaves when the challenge to the first has come. That it
        comes later shifts all second INVITEs alike; that it comes now sooner, now later is a spread of their own."""
        spread = self.challenge_jitter_ms if invite_cost > 1 else 0.0
        return max(self.jitter_ms, own_ms or 0) + spread

    @property
    def ack_limit_s(self) -> float:
        """s; an originate acknowledged later than this after its slot may have left outside of J."""
        return (self.jitter_ms - self.round_trip_ms) / 1000

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        networks(one.strip() for one in text.split(",") if one.strip())
        return text

    @field_validator("recipient_time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        return window_zone(name)

    @model_validator(mode="after")
    def _recordings_have_a_place(self) -> Settings:
        if self.recording_spool and not (self.recording_dir or self.recording_s3_bucket):
            raise ValueError("recording_spool: say where recordings are kept: set recording_dir or recording_s3_bucket")
        if self.recording_spool and self.recording_spool.rstrip("/") == self.recording_dir.rstrip("/"):
            raise ValueError("recording_dir: recordings are kept elsewhere than in recording_spool; give another directory")
        if bool(self.recording_s3_access_key) != bool(self.recording_s3_secret_key):
            raise ValueError("recording_s3_secret_key: give access key and secret, or neither")
        if self.recording_url_secret and len(self.recording_url_secret) < 32:
            raise ValueError("recording_url_secret: give 32 characters or more, from a random source")
        return self

    @model_validator(mode="after")
    def _pacing_is_proved(self) -> Settings:
        if self.jitter_ms < self.jitter_floor_ms:
            raise ValueError(
                f"jitter_ms: {self.jitter_ms:g} is less than slot_grace_ms + round_trip_ms + switch_jitter_ms"
                f" = {self.jitter_floor_ms:g}; the carrier's limit would not be proved: raise it, or lower the others"
            )
        if self.slot_lead_min_ms > self.slot_lead_ms:
            raise ValueError(f"slot_lead_min_ms: {self.slot_lead_min_ms:g} is more than slot_lead_ms: {self.slot_lead_ms:g}")
        return self


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read from the environment once."""
    return Settings()


def process_name(role: str) -> str:
    """``role@host`` for logs and connection names."""
    return f"{role}@{socket.gethostname()}"


def environment_name(name: str) -> str:
    """By which variable the setting ``name`` is given; ``name`` itself where there is no such setting."""
    field = Settings.model_fields.get(name)
    if field is None:
        return name
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"TRUNKLINE_{name.upper()}"


def table() -> str:
    """The settings as a Markdown table: environment name, default, meaning with unit."""
    rows = ["| environment | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{environment_name(name)}` | `{field.default!r}` | {field.description} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
