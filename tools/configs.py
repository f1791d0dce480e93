"""List or copy configurations: the same as ``acsnet configs``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="configs"))
