from collections import Counter

from acsnet.data import oversample


def test_factors_by_hand() -> None:
    labels = ["benign"] * 10 + ["malignant"] * 4 + ["normal"] * 3
    chosen = Counter(labels[index] for index in oversample(labels))
    # 10 / 4 rounds to 2, 10 / 3 to 3.
    assert chosen == {"benign": 10, "malignant": 8, "normal": 9}


def test_every_image_of_a_class_stands_equally_often() -> None:
    labels = ["a"] * 7 + ["b"] * 2
    times = Counter(oversample(labels))
    assert {times[index] for index in range(7)} == {1}
    # 3.5 rounds to the even 4.
    assert {times[index] for index in (7, 8)} == {4}


def test_balanced_classes_stay_as_they_are() -> None:
    assert oversample(["a", "b", "b", "a"]) == [0, 1, 2, 3]


def test_no_images() -> None:
    assert oversample([]) == []
