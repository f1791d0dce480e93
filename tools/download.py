"""Fetch a published dataset: python tools/download.py NAME --out DIR."""

import argparse
import shlex
from pathlib import Path

from acsnet.cli import run


def main() -> None:
    """Parse the command line, show the license, fetch, unpack and say how to use it."""
    parser = argparse.ArgumentParser(
        description="Fetch a published dataset from its publisher: shows the license first, goes on with a transfer "
        "that broke off, checks and unpacks what came."
    )
    parser.add_argument("name", metavar="NAME", help="busi, udiat, busbra, breast or busuclm")
    parser.add_argument(
        "--out", type=Path, default=Path("data"), metavar="DIR", help="folder of datasets (default: data)"
    )
    parser.add_argument("--sha256", default="", metavar="HEX", help="required of a file without a pinned checksum")
    parser.add_argument("--show", action="store_true", help="only show what it is, its license and its address")
    arguments = parser.parse_args()

    from acsnet.data import dataset_entry
    from acsnet.data.download import describe_dataset, download_dataset, find_dataset

    entry = dataset_entry(arguments.name)
    print(describe_dataset(entry), flush=True)
    if arguments.show:
        return
    fetched = download_dataset(entry, arguments.out, arguments.sha256)
    for name, checksum in fetched.checksums.items():
        print(f"SHA-256 of {name}: {checksum}")
    found = find_dataset(entry, fetched.folder)
    print(f"{found.root}: {found.summary}")
    if found.problems:
        print(f"{len(found.problems)} problems, to be mended before it is used:", *found.problems, sep="\n  ")
    print(f"use it by: --set data.dataset={entry.name} --set {shlex.quote(f'data.root={found.root}')}")


if __name__ == "__main__":
    raise SystemExit(run(main))
