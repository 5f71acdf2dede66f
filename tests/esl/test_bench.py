"""The convention of the benches, and that the readers of the esl bench really read everything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bench
from bench import Bound, Ratio, Report, esl
from bench.__main__ import main


@pytest.fixture
def floors(tmp_path: Path) -> Path:
    path = tmp_path / "floors.toml"
    path.write_text("[x]\nspeed = { at_least = 2 }\ndelay = { at_most = 3 }\n")
    return path


def report(speed: float, delay: float = 1.0) -> Report:
    return Report([Ratio("speed", speed, 1.0, "1/s", "peer"), Ratio("delay", delay, 1.0, "s", "limit")])


def test_bounds_are_kept_and_broken(floors: Path) -> None:
    assert bench.judge("x", report(2.0, 3.0), floors) == []
    assert bench.judge("x", report(1.9), floors) == ["x.speed: 1.90 is under the floor of 2"]
    assert bench.judge("x", report(2.5, 3.1), floors) == ["x.delay: 3.10 is over the ceiling of 3"]
    assert len(bench.judge("x", report(float("nan"), float("nan")), floors)) == 2


def test_what_has_no_bound_or_was_not_measured_does_not_pass(floors: Path) -> None:
    assert bench.judge("y", Report([Ratio("new", 1, 1, "", "")]), floors) == ["y.new: no bound in floors.toml"]
    one = Report([Ratio("speed", 9, 1, "", "")])
    assert bench.judge("x", one, floors) == ["x.delay: not measured"]
    floors.write_text("[x]\nspeed = { atleast = 2 }\n")
    with pytest.raises(ValueError, match=r"x\.speed"):
        bench.bounds("x", floors)


def test_a_peer_of_nothing_breaks_a_ceiling_only() -> None:
    assert Ratio("r", 1.0, 0.0, "", "").value == float("inf")
    assert Bound(at_most=3).broken_by(float("inf")) is not None


def test_every_bench_has_a_summary_and_bounds() -> None:
    assert "esl" in bench.names()
    for name in bench.names():
        summary, run = bench.load(name)
        assert summary.endswith(".")
        assert callable(run)
        assert bench.bounds(name), f"{name} has no bounds in floors.toml"


def test_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], floors: Path) -> None:
    monkeypatch.setattr(esl, "run", lambda: Report([Ratio("decode", 3.0, 2.0, "events/s", "peer")], {"events": 7}))
    assert main(["--list"]) == 0
    assert "decode: at least" in capsys.readouterr().out
    assert main(["esl"]) == 0
    assert "1.50x of peer" in capsys.readouterr().out
    assert main(["esl", "--json", "--check"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["ratios"][0]["ratio"] == 1.5
    assert "under the floor" in err
    assert main(["nothing"]) == 2


@pytest.mark.parametrize("reader", ["ours", "greenswitch"])
def test_a_reader_handles_every_event(reader: str) -> None:
    assert esl.measure(reader, 300) > 0


def test_a_reader_that_loses_events_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    class Done:
        stdout = '{"count": 299, "sum": 1, "seconds": 0.1}'

    monkeypatch.setattr("subprocess.run", lambda *_args, **_kwargs: Done())
    with pytest.raises(RuntimeError, match="lost events"):
        esl.measure("ours", 300)
