"""The whole house on real parts: Postgres, Redis, a lab switch with lab carriers, and every process of the Procfile.

Used by the demo and by tests/system. Everything it starts listens on loopback, lives in one private directory and is gone
after ``close()``, however the owner ends.
"""

from __future__ import annotations

import http.client
import json
import pathlib
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from store import test_lab
from store.migrate import migrate
from store.pool import Database, open_database
from store.switches import live as live_switches
from trunkline import guests
from trunkline.api import Api
from trunkline.children import Keeper, wait_until
from trunkline.given_switch import GivenSwitch
from trunkline.lab_parts import (
    TEST_CARRIER,
    LabCarrier,
    Place,
    Route,
    lab_places,
    laboratory,
    laboratory_processes,
    with_places,
)
from trunkline.lab_routes import LAB_SECRET, apply_carriers, put_carriers
from trunkline.private import free_port
from trunkline.servers import GivenServer, PostgresServer, RedisServer, postgres_server, redis_server
from trunkline.stack_parts import Account, port_or_free, settings_from, whose
from trunkline.stack_people import People
from trunkline.supervisor import ProcessFailed, Supervisor, parse_procfile, process_environment

__all__ = ["READY_S", "Account", "LabCarrier", "Place", "Route", "Stack", "settings_from"]

READY_S = 90.0
_READY = r'^(\{.*"ready": ?true.*\})$'


@dataclass
class Stack(People):
    """Start with ``start()``, end with ``close()``, or use it as a context manager.

    `switch`: a FreeSWITCH that runs already; without it a lab switch is started. It is neither started nor stopped here.
    `switches`: so many lab switches fs1, fs2, ..., each with its own controller and relay, all with a way to every
    carrier; with more than one the processes are ``switch-fs1``, ``controller-fs1``, ``relay-fs1`` and so on.
    `standby`: each switch has a second controller, which takes over when the first is silent.
    `directory`: the checkout, where the Procfile is. `environ`: changes to the processes' environment. `commands`: another
    command line for a process, by its name here. `private`: own servers even where DATABASE_URL or REDIS_URL name some
    (a test that restarts them needs that). `restart`: what dies is started again by ``supervisor.tend()``.
    `cdrs`: the switches post their CDRs to the API, as a second witness; a given switch says itself whether it does.
    `lab`: a laboratory beside it, for calls of test keys: ``carrier-test``, ``switch-lab1``, ``controller-lab1`` and
    ``relay-lab1``.
    `rtp`: the lab switches speak RTP with their carriers, as a given switch does.
    `runtime`: the agents are told where they may ask for their configuration and hand in results.
    `usual_ports`: the API's and the relay's customary ports where free.
    Errors of start(): ValueError naming the field, NoServer, ServerFailed, GuestRefused, ProcessFailed (with the end of
    the process's log), SwitchMissing.
    """

    directory: pathlib.Path
    lab_carriers: Sequence[LabCarrier]
    routes: Sequence[Route]
    environ: Mapping[str, str] = field(default_factory=dict)
    seed: int = 1
    private: bool = False
    restart: bool = False
    usual_ports: bool = False
    switch: GivenSwitch | None = None
    switches: int = 1
    standby: bool = False
    commands: Mapping[str, str] = field(default_factory=dict)
    cdrs: bool = True
    lab: bool = False
    runtime: bool = False
    rtp: bool = False
    say: Callable[[str], None] | None = None

    def start(self) -> None:
        """Returns when /readyz says that calls can be placed."""
        if self.switches < 1 or (self.switch is not None and self.switches > 1):
            raise ValueError(f"switches: {self.switches}: give 1 or more, and 1 with a given switch")
        self.run = pathlib.Path(tempfile.mkdtemp(prefix="trunkline-run-")).resolve()
        self._keeper = Keeper(self.run)
        self.recordings = self.run / "recordings"
        self.spools = self.run / "cdrs"
        given = self.switch.cdrs if self.switch is not None else None
        self.web_port = given.port if given else port_or_free(8080) if self.usual_ports else free_port()
        self.api = f"http://127.0.0.1:{self.web_port}"
        self.cdr_password = given.password if given else secrets.token_urlsafe(16)
        self._closing: list[Callable[[], None]] = [self._remove]
        try:
            self._start_servers()
            self._start_lab()
            self._start_processes()
        except BaseException:
            self.close()
            raise

    def _remove(self) -> None:
        self._keeper.close()
        shutil.rmtree(self.run, ignore_errors=True)

    def _start_servers(self) -> None:
        self.postgres = PostgresServer() if self.private else postgres_server()
        self._closing.append(self.postgres.close)
        self.database_url = guests.create_database(self.postgres.url, "run")
        self._closing.append(lambda: self._give_back_database())
        self.redis = RedisServer() if self.private else redis_server()
        self._closing.append(self.redis.close)
        self.redis_url = self.redis.url
        if isinstance(self.redis, GivenServer):
            self.redis_url = guests.take_redis_database(self.redis.url)
            self._closing.append(lambda: guests.give_back_redis(self.redis_url))
        if self.say is not None:
            self.say(f"Postgres {whose(self.postgres)}; Redis {whose(self.redis)}")
        migrate(self.database_url)

    def _give_back_database(self) -> None:
        # A private server goes as a whole.
        if isinstance(self.postgres, GivenServer):
            guests.drop_database(self.postgres.url, self.database_url)

    def _start_lab(self) -> None:
        self.audio = self.run / "audio"
        self.audio.mkdir()
        self.supervisor = Supervisor(
            directory=self.directory, logs=self.run / "logs", environ=process_environment({}), restart=self.restart
        )
        self._closing.append(self.supervisor.close)
        self.carrier_addresses: dict[str, str] = {}
        simulated = [*self.lab_carriers, TEST_CARRIER] if self.lab else self.lab_carriers
        for number, carrier in enumerate(simulated):
            name = f"carrier-{carrier.name}"
            self.supervisor.add(name, self._carrier_command(carrier, number))
            self.supervisor.start(name)
        for carrier in simulated:
            self.carrier_addresses[carrier.name] = str(self._ready(f"carrier-{carrier.name}")["sip"])
        self.places = [self._recording(place) for place in self._make_places()]
        self.esl_host, self.esl_port = self.places[0].esl
        self.esl_password = self.places[0].password
        self.laboratory: Place | None = None
        switches = [] if self.switch is not None else list(self.places)
        if self.switch is not None:
            self._take_switch(self.switch)
        if self.lab:
            spools = self.spools if self.cdrs and self.switch is None else None
            self.laboratory = self._recording(laboratory(spools, self.run / "gateways"))
            switches.append(self.laboratory)
        for number, place in enumerate(switches):
            command = place.command(gateways={}, seed=self.seed + number, temp=self.run, cdr_url=f"{self.api}/internal/cdr")
            self.supervisor.add(place.process("switch"), command, environ=place.passwords(self.cdr_password))
            self.supervisor.start(place.process("switch"))
        for place in switches:
            self._ready(place.process("switch"))

    def _recording(self, place: Place) -> Place:
        """The place with a directory that its switch records into."""
        spool = self.run / "recorded" / place.name
        spool.mkdir(parents=True)
        rtp = self.rtp and self.switch is None and not place.lab
        return replace(place, recordings=str(spool), kept=str(self.run / "kept"), rtp=rtp)

    def _make_places(self) -> list[Place]:
        relay_ports = [free_port() for _ in range(self.switches)]
        if self.usual_ports:
            relay_ports[0] = port_or_free(8090)
        if self.switch is None:
            return lab_places(self.switches, relay_ports, self.spools if self.cdrs else None, self.run / "gateways")
        return [self.switch.place(relay_ports[0])]

    def _take_switch(self, switch: GivenSwitch) -> None:
        # The switch may run as another user and has to find the audio, whose directories lie under this one.
        (self.run / "logs").chmod(0o700)
        self.run.chmod(0o711)
        self.audio.chmod(0o755)
        switch.wait_up(timeout_s=READY_S)

    def _carrier_command(self, carrier: LabCarrier, number: int) -> str:
        # The port is chosen here and not by the program, so that a restart finds it again.
        listen = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
        if self.switch is not None and carrier.name in self.switch.gateways:
            listen = self.switch.gateways[carrier.name][1]
        return carrier.command(
            listen=listen,
            log=self.arrivals(carrier.name),
            seed=self.seed * 100 + number,
            recordings=self.recordings if self.switch is not None or self.rtp else None,
        )

    def arrivals(self, carrier: str) -> pathlib.Path:
        """The raw arrival log of a lab carrier."""
        return self.run / f"arrivals-{carrier}.jsonl"

    def _ready(self, name: str) -> dict[str, object]:
        """The facts of the JSON line by which a lab program says that it is up."""
        facts: dict[str, object] = json.loads(self.supervisor.wait_line(name, _READY, timeout_s=READY_S)[1])
        return facts

    def _start_processes(self) -> None:
        self.agent_port = free_port()
        environ = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "TRUNKLINE_WEB_PORT": str(self.web_port),
            "TRUNKLINE_CDR_PASSWORD": self.cdr_password,
            "TRUNKLINE_CDR_URL": f"{self.api}/internal/cdr",
            "TRUNKLINE_RELAY_AUDIO_DIR": str(self.run / "playback"),
            "TRUNKLINE_ANNOUNCEMENT_DIR": str(self.audio),
            "TRUNKLINE_RECORDING_URL_SECRET": secrets.token_urlsafe(32),
            "TRUNKLINE_AGENT_ALLOW_PRIVATE": "true",
            "TRUNKLINE_REQUESTS_PER_S": "10000",  # one tenant posts for all the callers there are here
            "TRUNKLINE_WEBHOOK_ALLOW_PRIVATE": "true",
            "TRUNKLINE_AGENT_LISTEN": f"127.0.0.1:{self.agent_port}",
            LAB_SECRET: secrets.token_urlsafe(16),
            **({"TRUNKLINE_RUNTIME_URL_BASE": self.api} if self.runtime else {}),
            **self.places[0].environ(),
            **self.environ,
        }
        self.environment = environ
        self.settings = settings_from(environ)
        self.agent_url = f"ws://127.0.0.1:{self.agent_port}/"
        self.db: Database = open_database(self.settings, "stack", cooperative=False, wait_s=READY_S)
        self._closing.append(self.db.close)
        given = {} if self.switch is None else {name: gateway for name, (gateway, _) in self.switch.gateways.items()}
        put_carriers(self.db, self.lab_carriers, self.routes, self.carrier_addresses, given)
        if self.laboratory is not None:
            at = self.carrier_addresses[TEST_CARRIER.name]
            test_lab.set_up(self.db, address=at, max_channels=TEST_CARRIER.channels, cps=TEST_CARRIER.cps)
        self.processes = parse_procfile((self.directory / "Procfile").read_text())
        if not self.standby:
            del self.processes["standby"]
        started = with_places(self.processes, self.places)
        if self.laboratory is not None:
            started += laboratory_processes(self.processes, self.laboratory)
        if unknown := set(self.commands) - {name for name, _, _ in started}:
            raise ValueError(f"commands: no process {', '.join(sorted(unknown))}")
        for name, command, place in started:
            own = {**environ, **(place.environ() if place is not None and (self.switches > 1 or place.lab) else {})}
            self.supervisor.add(name, self.commands.get(name, command), environ=own)
            self.supervisor.start(name)
        self.wait_ready()
        self.wait_switches()
        self.apply_carriers()

    def apply_carriers(self, timeout_s: float = READY_S) -> None:
        """Make the switches' gateways what the carriers say. Errors: TimeoutError."""
        apply_carriers(self.db, timeout_s)

    def tend(self) -> list[str]:
        """Start again what has ended, our own servers included; their names. Call it a few times a second."""
        again = []
        for name, server in (("postgres", self.postgres), ("redis", self.redis)):
            if self.restart and not isinstance(server, GivenServer) and server.pid is None:
                server.start()
                again.append(name)
        return again + self.supervisor.tend()

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Wait until /readyz answers 200. Errors: ProcessFailed naming what is missing."""
        deadline = time.monotonic() + timeout_s
        while True:
            said = self._readyz()
            if said is None:
                return
            for name in self.supervisor.dead():
                raise ProcessFailed(f"{name} ended:\n{self.supervisor.tail(name)}")
            if time.monotonic() >= deadline:
                raise ProcessFailed(f"not ready after {timeout_s:g} s: {said}")
            time.sleep(0.05)

    def wait_switches(self, timeout_s: float = READY_S) -> None:
        """Wait until a controller has spoken for each switch. Errors: TimeoutError."""
        ever = datetime.fromtimestamp(0, UTC)  # the database is new, and a controller's clock may be wrong
        names = {place.name for place in self.places} | ({self.laboratory.name} if self.laboratory is not None else set())
        wait_until(f"controllers of {names}", lambda: names <= set(live_switches(self.db, ever)), timeout_s=timeout_s)

    def _readyz(self) -> str | None:
        try:
            answer = Api(self.api, timeout_s=5).get("/readyz")
        except (OSError, http.client.HTTPException) as error:
            return f"{self.api}/readyz: {error}"
        return None if answer.status == 200 else str(answer.body)[:500]

    def close(self) -> None:
        """End everything in reverse order; a second call does nothing."""
        first: BaseException | None = None
        while self._closing:
            try:
                self._closing.pop()()
            except Exception as error:  # noqa: BLE001  # the rest has to be closed as well
                first = first or error
        if first is not None:
            raise first

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
