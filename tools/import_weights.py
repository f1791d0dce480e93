"""Import a checkpoint of the ACSNet publication's code: the same as ``acsnet import-weights``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="import-weights"))
