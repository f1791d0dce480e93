from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from acsnet.config import build_config
from acsnet.data import Record
from acsnet.report import Network, read_networks
from acsnet.report.images import find_records, lesion_fractions
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
