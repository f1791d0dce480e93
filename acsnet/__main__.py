"""``python -m acsnet`` is the command ``acsnet``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
