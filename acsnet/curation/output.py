"""The files that curation leaves: tables and a report."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acsnet._utils.files import write_csv
from acsnet.curation.findings import FLAGS, Findings, Pair
from acsnet.curation.report import write_report
from acsnet.data.records import Record, write_record_table
from acsnet.errors import DataError

FILES = ("records.csv", "pairs.csv", "curated.csv", "report.html")
_PAIR_COLUMNS = (
    "first", "second", "relation", "ssim", "aligned_ssim", "overlap_first", "overlap_second", "mirrored", "first_label",
    "second_label", "mask_dice", "conflicts", "group",
)  # fmt: skip


def check_folder(folder: Path) -> None:
    """Check that nothing would be overwritten.

    Raises:
        DataError: for a folder that holds any of the files, or a path that is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file: name a folder")
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise DataError(f"{folder} holds {', '.join(there)} already: name another folder, or remove what is there")


def write_findings(folder: Path, findings: Findings, progress: bool = True) -> None:
    """Write records.csv, pairs.csv, curated.csv and report.html.

    records.csv is a record table of every image with two more columns: ``copies`` (its set of copies, "" for none) and
    ``flags`` (kinds, joined by ";"); curated.csv is one of the images that the policy keeps.
    """
    more = {
        "copies": _set_names(findings),
        "flags": [";".join(dict.fromkeys(flag.kind for flag in flags)) for flags in findings.flags],
    }
    write_record_table(folder / "records.csv", findings.records, more)
    write_csv(folder / "pairs.csv", [_pair_row(findings.records, pair) for pair in findings.pairs], _PAIR_COLUMNS)
    kept = [record for record, keep in zip(findings.records, findings.kept, strict=True) if keep]
    write_record_table(folder / "curated.csv", kept)
    write_report(folder / "report.html", findings, progress)


def _set_names(findings: Findings) -> list[str]:
    """The name of the first image of each image's set of copies, "" for an image without a copy."""
    sizes = Counter(findings.copies)
    names: dict[int, str] = {}
    for number, record in zip(findings.copies, findings.records, strict=True):
        names.setdefault(number, _full_name(record))
    return [names[number] if sizes[number] > 1 else "" for number in findings.copies]


def _full_name(record: Record) -> str:
    return f"{record.dataset}/{record.name}"


def _pair_row(records: Sequence[Record], pair: Pair) -> dict[str, Any]:
    first, second = records[pair.first], records[pair.second]
    return {
        "first": _full_name(first),
        "second": _full_name(second),
        "relation": pair.relation,
        "ssim": f"{pair.ssim:.4f}",
        "aligned_ssim": f"{pair.aligned_ssim:.4f}",
        "overlap_first": f"{pair.overlap[0]:.3f}",
        "overlap_second": f"{pair.overlap[1]:.3f}",
        "mirrored": "yes" if pair.mirrored else "no",
        "first_label": first.label,
        "second_label": second.label,
        "mask_dice": "" if pair.mask_dice is None else f"{pair.mask_dice:.4f}",
        "conflicts": ";".join(pair.conflicts),
        "group": first.group,
    }


def summarize(findings: Findings) -> str:
    """What was found, in a few lines for the terminal."""
    records, pairs = findings.records, findings.pairs
    sizes = Counter(size for size in Counter(findings.copies).values() if size > 1)
    relations = Counter(pair.relation for pair in pairs)
    sets = ", ".join(f"{count} of {size}" for size, count in sorted(sizes.items())) or "none"
    conflicts = {what: sum(what in pair.conflicts for pair in pairs) for what in ("class", "mask")}
    flags = Counter(kind for flags in findings.flags for kind in {flag.kind for flag in flags})
    lines = [
        f"{len(records)} images in {len({record.group for record in records})} groups that a split must not part",
        f"pairs: {relations['identical']} identical, {relations['copy']} copies, {relations['overlap']} overlaps",
        f"sets of copies: {sets}",
        f"pairs that disagree: {conflicts['class']} in class, {conflicts['mask']} in mask",
        *(f"{flags[kind]} with {kind}: {what}" for kind, what in FLAGS.items() if flags[kind]),
        *(
            f"a plain random split that tests {share:.0%} leaks: {leak:.1%} of its test images have a copy in training"
            for share, leak in findings.leak.items()
        ),
        f"curated ({findings.policy}): {sum(findings.kept)} of {len(records)} images",
    ]
    return "\n".join(lines)
