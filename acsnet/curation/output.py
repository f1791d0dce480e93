"""Output files of curation: three tables and a report."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acsnet._utils.files import write_csv
from acsnet._utils.folders import has_unfinished_files, whole_files
from acsnet.curation.findings import FLAG_DESCRIPTIONS, Findings, ImagePair
from acsnet.curation.report.page import write_report
from acsnet.data.records import Record, write_record_table
from acsnet.errors import DataError

FILES = ("records.csv", "pairs.csv", "curated.csv", "report.html")
_PAIR_COLUMNS = (
    "first", "second", "relation", "ssim", "aligned_ssim", "overlap_first", "overlap_second", "mirrored", "first_label",
    "second_label", "mask_dice", "conflicts", "group",
)  # fmt: skip


def check_folder(folder: str | Path) -> None:
    """Check that the output files would not overwrite anything.

    Raises:
        DataError: if the folder holds any of the output files, or the path is not a folder.

    Example:
        >>> check_folder(Path("a_new_folder"))
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file: name a folder")
    existing = [name for name in FILES if (folder / name).exists()]
    # What a killed process left of its own output may be overwritten.
    if existing and not has_unfinished_files(folder):
        raise DataError(f"{folder} already holds {', '.join(existing)}: name another folder, or remove these files")


def write_findings(folder: str | Path, findings: Findings, progress: bool = True) -> None:
    """Write records.csv, pairs.csv, curated.csv and report.html: all, or none.

    records.csv is a record table of all images with two additional columns: ``copies`` (name of the set of copies, ""
    if the image has no copy) and ``flags`` (kinds, joined by ";"). curated.csv is a record table of the images that
    the policy keeps.

    Args:
        folder: output folder; existing files of these names are overwritten (see :func:`check_folder`).
        findings: result of :func:`acsnet.curation.curate`.
        progress: whether to show a progress bar.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from acsnet.curation import curate
        >>> from acsnet.data import read_busi
        >>> from acsnet.phantom import write_phantoms
        >>> with TemporaryDirectory() as folder:
        ...     root, out = Path(folder) / "phantoms", Path(folder) / "curated"
        ...     write_phantoms(root, {"benign": 2}, size=(64, 64), progress=False)
        ...     write_findings(out, curate(read_busi(root), progress=False), progress=False)
        ...     sorted(path.name for path in out.iterdir())
        ['curated.csv', 'pairs.csv', 'records.csv', 'report.html']
    """
    folder = Path(folder)
    additional_columns = {
        "copies": _set_names(findings),
        "flags": [";".join(dict.fromkeys(flag.kind for flag in flags)) for flags in findings.flags],
    }
    pairs = [_pair_row(findings.records, pair) for pair in findings.pairs]
    kept_records = [record for record, kept in zip(findings.records, findings.kept, strict=True) if kept]
    with whole_files(folder) as temporary:
        write_record_table(temporary / "records.csv", findings.records, additional_columns)
        write_csv(temporary / "pairs.csv", pairs, _PAIR_COLUMNS)
        write_record_table(temporary / "curated.csv", kept_records)
        write_report(temporary / "report.html", findings, progress)


def _set_names(findings: Findings) -> list[str]:
    """Return the name of the first image of each image's set of copies, "" for an image without a copy."""
    set_sizes = Counter(findings.copy_sets)
    names: dict[int, str] = {}
    for number, record in zip(findings.copy_sets, findings.records, strict=True):
        names.setdefault(number, _full_name(record))
    return [names[number] if set_sizes[number] > 1 else "" for number in findings.copy_sets]


def _full_name(record: Record) -> str:
    return f"{record.dataset}/{record.name}"


def _pair_row(records: Sequence[Record], pair: ImagePair) -> dict[str, Any]:
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
    """Summarize the findings in a few lines of plain text.

    Example:
        >>> import numpy as np
        >>> from acsnet.curation import CurationFlag, Findings
        >>> records = tuple(Record(Path(name), (), "benign", name, group=name) for name in ("a.png", "b.png"))
        >>> findings = Findings(
        ...     records=records, sizes=((64, 64), (64, 64)), copy_sets=(0, 1), flags=((CurationFlag("text"),), ()),
        ...     histograms=np.zeros((2, 256)), pairs=(), policy="keep-one", kept=(True, True), leak={0.5: 0.0},
        ... )
        >>> print(summarize(findings))
        2 images in 2 groups; a split must keep each group together
        pairs: 0 identical, 0 copies, 0 overlaps
        sets of copies: none
        pairs that disagree: 0 in class, 0 in mask
        text: 1 image (burned-in text)
        leak of a plain random split with 50% test images: 0.0% of the test images have a copy in training
        curated (keep-one): 2 of 2 images
    """
    records, pairs = findings.records, findings.pairs
    set_sizes = Counter(size for size in Counter(findings.copy_sets).values() if size > 1)
    relations = Counter(pair.relation for pair in pairs)
    sets = ", ".join(f"{count} of {size} images" for size, count in sorted(set_sizes.items())) or "none"
    conflicts = {annotation: sum(annotation in pair.conflicts for pair in pairs) for annotation in ("class", "mask")}
    flag_counts = Counter(kind for flags in findings.flags for kind in {flag.kind for flag in flags})
    lines = [
        f"{len(records)} images in {len({record.group for record in records})} groups; a split must keep each group "
        "together",
        f"pairs: {relations['identical']} identical, {relations['copy']} copies, {relations['overlap']} overlaps",
        f"sets of copies: {sets}",
        f"pairs that disagree: {conflicts['class']} in class, {conflicts['mask']} in mask",
        *(
            f"{kind}: {flag_counts[kind]} image{'s' if flag_counts[kind] > 1 else ''} ({description})"
            for kind, description in FLAG_DESCRIPTIONS.items()
            if flag_counts[kind]
        ),
        *(
            f"leak of a plain random split with {share:.0%} test images: {leak:.1%} of the test images have a copy in "
            "training"
            for share, leak in findings.leak.items()
        ),
        f"curated ({findings.policy}): {sum(findings.kept)} of {len(records)} images",
    ]
    return "\n".join(lines)
