"""``python -m lab.wrong_clock SECONDS``: a controller on a machine whose wall clock is wrong by so many seconds."""

from gevent import monkey

monkey.patch_all()

import sys

from controller.run import main as run_controller
from lab.wrong_clock import set_wrong


def main() -> None:
    by_s = float(sys.argv[1])
    replaced = set_wrong(by_s)
    if not replaced:
        sys.exit("lab.wrong_clock: no module of the controller asks for the time by `datetime`; nothing would be wrong")
    sys.stderr.write(f"the wall clock of this controller is wrong by {by_s:g} s in {replaced} modules\n")
    run_controller()


if __name__ == "__main__":
    main()
