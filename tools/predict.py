"""Predict images: the same as ``acsnet predict``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="predict"))
