"""Choose operating points: the same as ``acsnet calibrate``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="calibrate"))
