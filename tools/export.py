"""Export a checkpoint: the same as ``acsnet export``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="export"))
