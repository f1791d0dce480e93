import csv
import shutil
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from acsnet.curation import check_folder, curate, expected_leak, summarize, write_findings
from acsnet.curation.output import FILES
from acsnet.data import Record, read_busi, read_record_table
from acsnet.errors import DataError, InputError, UnknownNameError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write phantoms, an exact copy, a copy in another class, one with another mask, and a broken image."""
    from acsnet.phantom import write_phantoms

    root = tmp_path_factory.mktemp("curate") / "set"
    write_phantoms(root, {"benign": 8, "malignant": 6, "normal": 4}, size=(128, 128), vary_size=False, progress=False)
    benign, malignant = root / "benign", root / "malignant"
    _copy(benign, "benign (1)", benign, "benign (21)")
    _copy(benign, "benign (2)", malignant, "malignant (22)")
    small = cv2.resize(cv2.imread(str(malignant / "malignant (22).png")), (96, 96), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(malignant / "malignant (22).png"), small)
    mask = cv2.imread(str(malignant / "malignant (22)_mask.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(malignant / "malignant (22)_mask.png"), cv2.resize(mask, (96, 96)))
    _copy(benign, "benign (3)", benign, "benign (23)")
    Image.fromarray(np.eye(128, dtype=np.uint8) * 255).save(benign / "benign (23)_mask.png")
    _copy(benign, "benign (4)", benign, "benign (24)")
    (benign / "benign (24).png").write_bytes(b"no image")
    return root


def _copy(source: Path, name: str, target: Path, new: str) -> None:
    shutil.copy(source / f"{name}.png", target / f"{new}.png")
    shutil.copy(source / f"{name}_mask.png", target / f"{new}_mask.png")


def _rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row.get("name") or row["second"]: row for row in csv.DictReader(file)}


def test_from_records_to_files(root: Path, tmp_path: Path) -> None:
    findings = curate(read_busi(root), progress=False)
    write_findings(tmp_path, findings, progress=False)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)

    pairs = _rows(tmp_path / "pairs.csv")
    assert set(pairs) == {
        "busi/benign/benign (21).png",
        "busi/malignant/malignant (22).png",
        "busi/benign/benign (23).png",
    }
    exact, other_class, other_mask = (pairs[name] for name in sorted(pairs, key=lambda name: name[-8:]))
    assert (exact["first"], exact["relation"], exact["ssim"]) == ("busi/benign/benign (1).png", "identical", "1.0000")
    assert (other_class["relation"], other_class["conflicts"]) == ("copy", "class")
    assert float(other_class["aligned_ssim"]) > 0.9
    assert (other_class["first_label"], other_class["second_label"]) == ("benign", "malignant")
    assert (other_mask["relation"], other_mask["conflicts"]) == ("identical", "mask")
    assert float(other_mask["mask_dice"]) < 0.5

    rows = _rows(tmp_path / "records.csv")
    assert len(rows) == 8 + 6 + 4 + 4
    assert rows["malignant/malignant (22).png"]["group"] == rows["benign/benign (2).png"]["group"]
    assert rows["malignant/malignant (22).png"]["copies"] == "busi/benign/benign (2).png"
    assert rows["benign/benign (5).png"]["copies"] == ""
    assert rows["benign/benign (24).png"]["flags"] == "unreadable"
    assert rows["benign/benign (24).png"]["group"] == "busi/benign/benign (24).png"

    kept = {record.name for record in read_record_table(tmp_path / "curated.csv")}
    dropped = {f"benign/benign ({number}).png" for number in (2, 3, 23, 24)} | {"malignant/malignant (22).png"}
    assert kept == set(rows) - dropped - {"benign/benign (21).png"}
    page = (tmp_path / "report.html").read_text()
    assert "malignant (22).png" in page

    summary = summarize(findings)
    assert "22 images in 19 groups; a split must keep each group together" in summary
    assert "pairs: 2 identical, 1 copies, 0 overlaps" in summary
    assert "sets of copies: 3 of 2 images" in summary
    assert "pairs that disagree: 1 in class, 1 in mask" in summary
    assert "unreadable: 1 image (image or mask that cannot be read)" in summary
    assert "curated (keep-one): 16 of 22 images" in summary
    # Three pairs among 22 images, 4 of them test images: the copy is a training image with probability 18/21, for 6 of
    # 22 images.
    assert f"split with 20% test images: {6 / 22 * 18 / 21:.1%} of the test images have a copy in training" in summary


def test_the_result_does_not_depend_on_the_run(root: Path) -> None:
    first, second = (curate(read_busi(root), progress=False) for _ in range(2))
    assert first.records == second.records
    assert [(p.first, p.second, p.aligned_ssim) for p in first.pairs] == [
        (p.first, p.second, p.aligned_ssim) for p in second.pairs
    ]


def test_patients_and_the_groups_of_a_table_stay_together(root: Path) -> None:
    records = [r for r in read_busi(root) if r.label == "normal"]
    grouped = [Record(r.image, r.masks, r.label, r.name, patient="p" if i < 2 else "", group="g" if i > 1 else "")
               for i, r in enumerate(records)]  # fmt: skip
    groups = [record.group for record in curate(grouped, progress=False).records]
    assert len(set(groups)) == 2
    assert groups[0] == groups[1]
    assert groups[2] == groups[3]


def test_policy_is_checked_before_anything_is_read() -> None:
    with pytest.raises(UnknownNameError, match=r"drop-al.*drop-all"):
        curate([Record(Path("nowhere"), (), "benign", "x")], policy="drop-al", progress=False)  # type: ignore[arg-type]


def test_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 of 1 images can be read: curation compares at least two"):
        curate([Record(tmp_path / "none.png", (), "benign", "x")], progress=False)


def test_two_images_are_too_few_for_a_leak(root: Path, tmp_path: Path) -> None:
    two = [record for record in read_busi(root) if record.name in ("benign/benign (1).png", "benign/benign (21).png")]
    findings = curate(two, progress=False)
    assert findings.leak == {}
    assert findings.kept == (True, False)
    write_findings(tmp_path, findings, progress=False)
    assert "benign (21).png" in (tmp_path / "report.html").read_text()
    assert "leak" not in summarize(findings)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    check_folder(tmp_path)
    check_folder(tmp_path / "new")
    (tmp_path / "pairs.csv").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"already holds pairs\.csv: name another folder, or remove these files"):
        check_folder(tmp_path)
    with pytest.raises(DataError, match=r"notes\.txt is a file: name a folder"):
        check_folder(tmp_path / "notes.txt")


@pytest.mark.parametrize("copy_sets", [[0, 0, 1, 2], [0, 0, 0, 1, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0] * 6])
@pytest.mark.parametrize("test_count", [1, 2, 3])
def test_expected_leak_agrees_with_counting_all_splits(copy_sets: list[int], test_count: int) -> None:
    count = len(copy_sets)
    shares = []
    for test in combinations(range(count), test_count):
        training = {copy_sets[index] for index in range(count) if index not in test}
        shares.append(sum(copy_sets[index] in training for index in test) / test_count)
    assert expected_leak(copy_sets, test_count / count) == pytest.approx(sum(shares) / len(shares))


def test_expected_leak_without_copies_is_zero() -> None:
    assert expected_leak(range(100), 0.2) == 0


@pytest.mark.parametrize("share", [0.0, 1.0, 0.01])
def test_a_test_share_that_leaves_a_subset_empty(share: float) -> None:
    with pytest.raises(InputError, match=r"test_share is .* of 10 images: the training or test subset is empty"):
        expected_leak([0] * 10, share)


@pytest.mark.slow
def test_busi(busi_root: Path) -> None:
    findings = curate(read_busi(busi_root), progress=False)
    sizes = [findings.copy_sets.count(number) for number in set(findings.copy_sets)]
    # Aumente-Maestro et al. 2025 find 122 sets of two, 22 of three and 5 of four in all 780 images; some copies of BUSI
    # lack 60 images.
    assert sizes.count(2) in range(120, 125)
    assert sizes.count(3) in range(20, 23)
    assert sizes.count(4) in range(4, 6)
    assert max(sizes) == 4
    names = {frozenset((findings.records[p.first].name, findings.records[p.second].name)): p for p in findings.pairs}
    # The same scan in two classes; the same scan cropped at both sides.
    assert "class" in names[frozenset(("benign/benign (433).png", "malignant/malignant (145).png"))].conflicts
    assert names[frozenset(("malignant/malignant (95).png", "malignant/malignant (97).png"))].overlap[0] < 0.8
