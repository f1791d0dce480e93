"""Download a published dataset: the same as ``acsnet download``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="download"))
