"""``python -m controller``: the controller of the switch beside it."""

from gevent import monkey

monkey.patch_all()

from controller.run import main

if __name__ == "__main__":
    main()
