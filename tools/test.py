"""Test a checkpoint: the same as ``acsnet test``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="test"))
