"""``acsnet download``, ``acsnet curate`` and ``acsnet phantom``."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from acsnet.cli.completion import DATASETS, complete_dataset
from acsnet.cli.options import Imports
from acsnet.cli.parsing import parse_path, parse_text
from acsnet.cli.running import show


def download(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            parser=parse_text,
            autocompletion=complete_dataset,
            help=f"{', '.join(DATASETS[:-1])} or {DATASETS[-1]}",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", parser=parse_path, help="folder of datasets")] = Path("data"),
    sha256: Annotated[str, typer.Option(metavar="HEX", help="expected checksum of a file without a pinned one")] = "",
    only_show: Annotated[
        bool, typer.Option("--show", help="only print the description, the license and the address")
    ] = False,
    imports: Imports = None,
) -> None:
    """Download a published dataset from its publisher.

    The license is printed first. An interrupted download is resumed. The files are checked and unpacked.
    """
    from acsnet.data.download import describe_dataset, download_dataset, find_dataset, published_dataset

    entry = published_dataset(name)
    show(describe_dataset(entry), flush=True)
    if only_show:
        return
    fetched = download_dataset(entry, out, sha256)
    for file, checksum in fetched.checksums.items():
        show(f"SHA-256 of {file}: {checksum}")
    found = find_dataset(entry, fetched.folder)
    show(f"{found.root}: {found.summary}")
    if found.problems:
        show("\n  ".join([f"{len(found.problems)} problems to fix before using it:", *found.problems]))
    show(f"use it with: --set data.dataset={entry.name} --set {shlex.quote(f'data.root={found.root}')}")


def curate(
    root: Annotated[
        Path,
        typer.Argument(metavar="ROOT", parser=parse_path, help="a folder in a published layout, or a record table"),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", parser=parse_path, help="the output folder of the four files")],
    dataset: Annotated[str, typer.Option(metavar="NAME", help="dataset whose layout ROOT has")] = "busi",
    policy: Annotated[
        Literal["keep-one", "drop-all", "keep-all-grouped"], typer.Option(help="which images curated.csv keeps")
    ] = "keep-one",
    imports: Imports = None,
) -> None:
    """Find duplicates, conflicts and doubtful images.

    Tables and a report for review are written.
    """
    from acsnet._utils.folders import claimed_folder
    from acsnet.curation import check_folder, summarize, write_findings
    from acsnet.curation import curate as examine
    from acsnet.data.source import scan_records

    check_folder(out)
    with claimed_folder(out, "curating into", "--out"):
        findings = examine(scan_records(root, dataset), policy)
        # Printed first, so that it is kept if the files cannot be written.
        show(summarize(findings))
        write_findings(out, findings)
    show(f"look at {out}/report.html; train on {out}/curated.csv by --set data.records=...")


def phantom(
    out: Annotated[Path, typer.Option(metavar="DIR", parser=parse_path, help="the output folder, new or empty")],
    benign: Annotated[int, typer.Option(min=0, metavar="N", help="benign images")] = 40,
    malignant: Annotated[int, typer.Option(min=0, metavar="N", help="malignant images")] = 20,
    normal: Annotated[int, typer.Option(min=0, metavar="N", help="images without a lesion")] = 20,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="the same seed gives the same images")] = 0,
    size: Annotated[
        tuple[int, int],
        typer.Option(metavar="HEIGHT WIDTH", help="mean size in pixels; sizes of images differ from it by up to 20 %"),
    ] = (256, 256),
) -> None:
    """Write a synthetic dataset in BUSI's layout."""
    from acsnet.labels import CLASS_NAMES
    from acsnet.phantom import write_phantoms

    counts = {"benign": benign, "malignant": malignant, "normal": normal}
    counts = {label: counts[label] for label in CLASS_NAMES}
    write_phantoms(out, counts, seed, size)
    written = ", ".join(f"{count} {label}" for label, count in counts.items())
    show(f"wrote {sum(counts.values())} phantoms ({written}) to {out}")
