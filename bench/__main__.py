"""``python -m bench --list`` and ``python -m bench NAME [--json] [--check]``."""

from __future__ import annotations

import argparse
import json
import sys

from bench import Report, as_json, bounds, judge, load, names


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 good, 1 a bound is broken (with ``--check``), 2 no such bench."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="?", help="the bench to run")
    parser.add_argument("--list", action="store_true", help="what there is, with its bounds")
    parser.add_argument("--json", action="store_true", help="the result for machines, on standard output")
    parser.add_argument("--check", action="store_true", help="fail when a ratio is under its floor in floors.toml")
    options = parser.parse_args(arguments)
    if options.list or options.name is None:
        for name in names():
            print(f"{name:12} {load(name)[0]}")
            for ratio, bound in bounds(name).items():
                print(f"{'':12} {ratio}: {limits(bound.at_least, bound.at_most)}")
        return 0
    try:
        _summary, run = load(options.name)
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    report = run()
    if options.json:
        print(json.dumps(as_json(options.name, report)))
    else:
        show(options.name, report)
    wrong = judge(options.name, report) if options.check else []
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


def limits(at_least: float | None, at_most: float | None) -> str:
    """The bounds in words."""
    words = [f"at least {at_least:g}"] if at_least is not None else []
    return " and ".join(words + ([f"at most {at_most:g}"] if at_most is not None else []))


def show(name: str, report: Report) -> None:
    for ratio in report.ratios:
        figures = f"{ratio.ours:,.4g} beside {ratio.peer:,.4g} {ratio.unit}"
        print(f"{name}.{ratio.name}: {ratio.value:.2f}x of {ratio.peer_name} ({figures})")
    for fact, value in report.facts.items():
        print(f"  {fact}: {value}")


if __name__ == "__main__":
    sys.exit(main())
