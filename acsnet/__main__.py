"""``python -m acsnet`` is the command ``acsnet``."""

import sys

from acsnet.cli import main

if __name__ == "__main__":
    # As runs record it.
    sys.argv[0] = "acsnet"
    raise SystemExit(main())
