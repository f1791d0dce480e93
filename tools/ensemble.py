"""Combine checkpoints: the same as ``acsnet ensemble``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="ensemble"))
