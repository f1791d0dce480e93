"""Search for the best values of a configuration: the same as ``acsnet sweep``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="sweep"))
