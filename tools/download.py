"""Download a published dataset: python tools/download.py NAME --out DIR."""

import shlex
from pathlib import Path

from acsnet.cli import ToolParser, run, show


def main() -> None:
    """Parse the command line, print the license, download and unpack the dataset, and print how to use it."""
    parser = ToolParser(
        description="Download a published dataset from its publisher: prints the license first, resumes an interrupted "
        "download, checks and unpacks the files."
    )
    parser.add_argument("name", metavar="NAME", help="busi, udiat, busbra, breast or busuclm")
    parser.add_argument(
        "--out", type=Path, default=Path("data"), metavar="DIR", help="folder of datasets (default: data)"
    )
    parser.add_argument("--sha256", default="", metavar="HEX", help="expected checksum of a file without a pinned one")
    parser.add_argument("--show", action="store_true", help="only print the description, the license and the address")
    arguments = parser.parse_args()

    from acsnet.data import dataset_entry
    from acsnet.data.download import describe_dataset, download_dataset, find_dataset

    entry = dataset_entry(arguments.name)
    show(describe_dataset(entry), flush=True)
    if arguments.show:
        return
    fetched = download_dataset(entry, arguments.out, arguments.sha256)
    for name, checksum in fetched.checksums.items():
        show(f"SHA-256 of {name}: {checksum}")
    found = find_dataset(entry, fetched.folder)
    show(f"{found.root}: {found.summary}")
    if found.problems:
        show("\n  ".join([f"{len(found.problems)} problems to fix before using it:", *found.problems]))
    show(f"use it with: --set data.dataset={entry.name} --set {shlex.quote(f'data.root={found.root}')}")


if __name__ == "__main__":
    raise SystemExit(run(main))
