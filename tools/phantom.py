"""Write a synthetic dataset: the same as ``acsnet phantom``."""

from acsnet.cli import main

if __name__ == "__main__":
    raise SystemExit(main(tool="phantom"))
