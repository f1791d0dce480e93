"""Serve the web page: the same as ``acsnet app``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="app"))
