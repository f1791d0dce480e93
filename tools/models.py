"""List the zoo: the same as ``acsnet models``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="models"))
