"""``trunkline up``: the Procfile's processes on the terminal, each line behind its process's name."""

from __future__ import annotations

import pathlib
import signal
import sys
import time

import psycopg
import redis

from settings import Settings, get_settings
from trunkline.supervisor import Supervisor, parse_procfile, process_environment

TEND_S = 0.2
LOGS = pathlib.Path(".trunkline/logs")


class Ended(BaseException):
    """SIGTERM or SIGHUP came; a BaseException so that nothing on the way takes it for an error."""


def end_on_signals() -> None:
    """From now on SIGTERM and SIGHUP unwind the main thread like Ctrl-C does, so that everything is closed."""

    def end(number: int, _frame: object) -> None:
        raise Ended(signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def check_settings(settings: Settings) -> None:
    """Fail at once and in one line rather than six times in six logs. Errors: ValueError, psycopg.Error, RedisError."""
    psycopg.connect(settings.database_url, connect_timeout=5).close()
    with redis.Redis.from_url(settings.redis_url, socket_timeout=settings.redis_timeout_s) as client:
        client.ping()
    if not settings.esl_password:
        raise ValueError("TRUNKLINE_ESL_PASSWORD: the event socket's password is missing")


def up(procfile: pathlib.Path) -> int:
    """Run until Ctrl-C or SIGTERM; what dies is started again. Returns the exit status."""
    check_settings(get_settings())
    end_on_signals()
    commands = parse_procfile(procfile.read_text())
    width = max(map(len, commands))
    directory = procfile.resolve().parent
    with Supervisor(directory=directory, logs=directory / LOGS, environ=process_environment({}), restart=True) as supervisor:
        for name, command in commands.items():
            supervisor.add(name, command)
        try:
            supervisor.start_all()
            while True:
                for name in supervisor.tend():
                    print(f"{name:<{width}} | ended; starting it again", flush=True)
                for name, line in supervisor.new_lines():
                    print(f"{name:<{width}} | {line}", flush=True)
                time.sleep(TEND_S)
        except (KeyboardInterrupt, Ended):
            print("\nending", file=sys.stderr)
    return 0
