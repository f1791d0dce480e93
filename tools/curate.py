"""Curate a dataset: the same as ``acsnet curate``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="curate"))
