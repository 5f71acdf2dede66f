"""The supervisor: named processes, their logs, their end."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Iterator

import pytest

from trunkline.children import wait_until
from trunkline.supervisor import ProcessFailed, Supervisor, process_environment

READY = "python -c \"import time; print('ready', flush=True); time.sleep(60)\""


@pytest.fixture
def supervisor(tmp_path: pathlib.Path) -> Iterator[Supervisor]:
    with Supervisor(
        directory=tmp_path, logs=tmp_path / "logs", environ=process_environment({"GREETING": "hello"}), restart=True
    ) as made:
        yield made


def test_output_goes_to_the_process_log(supervisor: Supervisor) -> None:
    supervisor.add(
        "one", "python -c \"import os; print(os.environ['GREETING'], os.environ['MORE'])\"", environ={"MORE": "2"}
    )
    supervisor.start("one")
    assert supervisor.wait_line("one", "^hello 2$", timeout_s=60)
    supervisor.wait_gone("one", 10)
    assert list(supervisor.new_lines()) == [("one", "hello 2")]
    assert list(supervisor.new_lines()) == []


def test_what_dies_is_started_again(supervisor: Supervisor) -> None:
    supervisor.add("one", READY)
    first = supervisor.start("one")
    supervisor.wait_line("one", "ready", timeout_s=60)
    supervisor.kill("one")
    assert supervisor.dead() == ["one"]
    assert supervisor.tend() == ["one"]

    def back() -> bool:
        supervisor.tend()
        return supervisor.pid("one") is not None

    wait_until("the restart", back, timeout_s=60)
    assert supervisor.pid("one") != first
    assert supervisor.restarts("one") == 1


def test_what_was_stopped_stays_so(supervisor: Supervisor) -> None:
    supervisor.add("one", READY)
    supervisor.start("one")
    supervisor.wait_line("one", "ready", timeout_s=60)
    assert supervisor.stop("one") == -signal.SIGTERM
    assert supervisor.dead() == supervisor.tend() == []
    assert supervisor.pid("one") is None


def test_a_kill_takes_its_children_along(supervisor: Supervisor, tmp_path: pathlib.Path) -> None:
    supervisor.add("one", "sh -c 'sleep 60 & echo child $! ; wait'")
    supervisor.start("one")
    child = int(supervisor.wait_line("one", r"^child (\d+)$", timeout_s=60)[1])
    supervisor.kill("one")
    wait_until("the child's end", lambda: not _runs(child), timeout_s=60)


def test_an_early_end_is_told_with_its_last_words(supervisor: Supervisor) -> None:
    supervisor.add("one", "sh -c 'echo no such thing; exit 3'")
    supervisor.start("one")
    with pytest.raises(ProcessFailed, match=r"one ended with 3:\nno such thing"):
        supervisor.wait_line("one", "never", timeout_s=60)


def test_close_ends_also_what_was_paused(tmp_path: pathlib.Path) -> None:
    supervisor = Supervisor(directory=tmp_path, logs=tmp_path / "logs", environ=process_environment({}))
    supervisor.add("one", READY)
    pid = supervisor.start("one")
    supervisor.wait_line("one", "ready", timeout_s=60)
    supervisor.signal("one", signal.SIGSTOP)
    supervisor.close()
    supervisor.close()
    assert not _runs(pid)


def test_an_unknown_name_is_told(supervisor: Supervisor) -> None:
    supervisor.add("one", READY)
    with pytest.raises(ValueError, match="there is no process 'two'; there are: one"):
        supervisor.start("two")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = pathlib.Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_one_start_may_have_an_environment_of_its_own(supervisor: Supervisor) -> None:
    supervisor.add("one", "python -c \"import os; print(os.environ['GREETING'], os.environ.get('ONCE'))\"")
    supervisor.start("one", {"ONCE": "now"})
    assert supervisor.wait_line("one", "^hello now$", timeout_s=60)
    supervisor.wait_gone("one", 10)
    assert supervisor.returncode("one") == 0
    supervisor.start("one")
    assert supervisor.wait_line("one", "^hello None$", timeout_s=60)
