"""Write a report on tests: the same as ``acsnet report``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="report"))
