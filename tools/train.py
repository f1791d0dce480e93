"""Train a network: the same as ``acsnet train``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="train"))
