"""The data that the protocol of a publication needs."""

from pathlib import Path

import pytest

from acsnet.config import Config, build_config
from acsnet.data import Record
from acsnet.errors import DataError
from acsnet.training.protocol import check_protocol_data

PROTOCOL = {"publication": "he2024", "images": {"benign": 2, "malignant": 1}, "instead": "configs/acsnet_busi.yaml"}


def make_config(*overrides: str) -> Config:
    return build_config({"model": {"name": "unet"}, "protocol": PROTOCOL}, overrides, "test")


def records(**counts: int) -> list[Record]:
    return [Record(Path(f"{label}{i}.png"), (), label, f"{label}{i}") for label, n in counts.items() for i in range(n)]


def test_the_images_of_the_publication_are_accepted() -> None:
    check_protocol_data(make_config(), records(malignant=1, benign=2))


@pytest.mark.parametrize(
    ("counts", "found"),
    [({"benign": 1, "malignant": 1}, "1 benign, 1 malignant"), ({"benign": 2}, "2 benign"), ({}, "no images")],
)
def test_other_data_is_refused_and_the_honest_configuration_is_named(counts: dict[str, int], found: str) -> None:
    message = (
        rf"^the protocol of He et al\. 2024 uses 2 benign, 1 malignant, the data has {found}: use "
        r"the configuration acsnet_busi for other data, or set data\.allow_missing=true to follow the protocol without "
        r"the published images$"
    )
    with pytest.raises(DataError, match=message):
        check_protocol_data(make_config(), records(**counts))
    check_protocol_data(make_config("data.allow_missing=true"), records(**counts))


def test_any_data_suits_a_configuration_without_a_protocol() -> None:
    check_protocol_data(make_config("protocol=null"), records(benign=7))
