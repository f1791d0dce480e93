"""Cross-validate: the same as ``acsnet crossval``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="crossval"))
