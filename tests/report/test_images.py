from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from acsnet.config import build_config
from acsnet.data import Record, read_busi
from acsnet.data.records import write_record_table
from acsnet.errors import AcsnetError
from acsnet.report import Network, read_networks
from acsnet.report.images import find_records, lesion_fractions, named_data
from acsnet.report.training import Training


def test_images_are_found_where_the_configuration_says(cross_validation: Path, phantom_root: Path) -> None:
    networks, _ = read_networks([str(cross_validation)])
    records, problems = find_records(networks)
    assert problems == []
    assert {*records} == {*networks[0].result.images}
    assert all(record.image.is_relative_to(phantom_root) for record in records.values())


def in_data(network: Network, **data: object) -> Network:
    config = build_config({"model": {"name": "unet"}, "data": data}, [], "the test")
    return replace(network, trainings=(Training(config=config),))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"root": "nowhere"}, "nowhere"),
        ({"records": "nowhere.csv"}, "there is no record table nowhere.csv"),
        ({}, "the configuration names no data (data.root or data.records)"),
    ],
)
def test_images_that_are_not_found_are_reported(networks: list[Network], data: dict[str, str], reason: str) -> None:
    records, problems = find_records([in_data(networks[0], **data)])
    assert records == {}
    assert reason in problems[0]
    assert problems[1].startswith("60 of 60 tested images are not in the data that the configurations name")


def test_without_configuration_nothing_is_found(networks: list[Network]) -> None:
    records, problems = find_records(networks)
    assert records == {}
    assert len(problems) == 1


# --- data that is named for the report ------------------------------------------------------------------------------


def test_without_overrides_no_data_is_named() -> None:
    assert named_data([]) is None


@pytest.mark.parametrize("kind", ["root", "root and dataset", "records"])
def test_images_are_found_in_the_data_named(
    kind: str, cross_validation: Path, phantom_root: Path, tmp_path: Path
) -> None:
    networks, _ = read_networks([str(cross_validation)])
    write_record_table(tmp_path / "records.csv", read_busi(phantom_root))
    overrides = {
        "root": [f"data.root={phantom_root}"],
        "root and dataset": ["data.dataset=busi", f"data.root={phantom_root}"],
        "records": [f"data.records={tmp_path / 'records.csv'}"],
    }[kind]
    for data in ({"root": "nowhere"}, {}):
        records, problems = find_records([in_data(networks[0], **data)], named_data(overrides))
        assert problems == [], "the configuration is not asked"
        assert {*records} == {*networks[0].result.images}


def test_the_configurations_have_the_images_that_the_named_data_lacks(
    cross_validation: Path, phantom_root: Path, tmp_path: Path
) -> None:
    networks, _ = read_networks([str(cross_validation)])
    write_record_table(tmp_path / "some.csv", read_busi(phantom_root)[:5])
    records, problems = find_records(networks, named_data([f"data.records={tmp_path / 'some.csv'}"]))
    assert problems == []
    assert {*records} == {*networks[0].result.images}
    records, problems = find_records(
        [replace(networks[0], trainings=())], named_data([f"data.records={tmp_path / 'some.csv'}"])
    )
    assert 0 < len(records) <= 5
    assert problems[-1].endswith(
        "; --set data.root=FOLDER (with --set data.dataset=NAME as for the test) or --set data.records=TABLE.csv says "
        "where they are"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "data.image_size=[32, 32]",
            r"--set data.image_size=\[32, 32\]: a report only takes data.root, data.records and data",
        ),
        ("evaluation.threshold=0.3", "--set evaluation.threshold=0.3: a report only takes data.root"),
        ("data.rooot=a", "--set data.rooot=a: a report only takes data.root, data.records and data.dataset"),
        ("nonsense", "--set nonsense: a report only takes data.root"),
        ("data.root=nowhere", "--set data.root=nowhere: nowhere does not exist"),
        ("data.records=[nowhere.csv]", r"--set data.records=\[nowhere.csv\]: nowhere.csv does not exist"),
        (
            "data.root=null",
            "--set data.root=null names no data: --set data.root=FOLDER .*or --set data.records=TABLE.csv",
        ),
        ("data.dataset=busi", "--set data.dataset=busi names no data: --set data.root=FOLDER "),
    ],
)
def test_data_that_cannot_be_used_is_one_line(override: str, message: str) -> None:
    with pytest.raises(AcsnetError, match=f"^{message}"):
        named_data([override])


def test_shares_of_the_image(tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(2)]
    for index, path in enumerate(paths):
        mask = np.zeros((10, 20), np.uint8)
        mask[index : index + 2, :10] = 255
        cv2.imwrite(str(path), mask)

    def record(*masks: Path) -> Record:
        return Record(tmp_path / "image.png", masks, "benign", "image.png")

    records = {
        ("busi", "one"): record(paths[0]),
        ("busi", "both"): record(*paths),
        ("busi", "none"): record(),
        ("busi", "broken"): record(tmp_path / "nowhere.png"),
    }
    assert lesion_fractions(records) == {("busi", "one"): 0.1, ("busi", "both"): 0.15, ("busi", "none"): 0.0}
