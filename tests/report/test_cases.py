import base64
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acsnet.inference.saved_predictions import mask_path
from acsnet.report import Network, read_networks
from acsnet.report.cases import draw_cases, find_saved_masks, rank_cases
from acsnet.report.images import NOT_FOUND, find_records


@pytest.fixture
def network(cross_validation: Path) -> Network:
    return read_networks([str(cross_validation)])[0][0]


def test_cases_are_ranked_by_dice_of_the_lesion(networks: list[Network]) -> None:
    result = networks[0].result
    best, worst = rank_cases(networks[0])
    dice = result.per_image["dice"]
    assert (len(best), len(worst)) == (12, 12)
    assert not {*best} & {*worst}
    assert all(result.labels[index] != "normal" for index in best + worst)
    lesions = sorted((dice[index] for index, label in enumerate(result.labels) if label != "normal"), reverse=True)
    assert [dice[index] for index in best] == lesions[:12]
    assert [dice[index] for index in worst] == lesions[::-1][:12]


def test_ties_go_by_the_probability_of_the_true_class(networks: list[Network]) -> None:
    run = networks[0].result
    assert run.probabilities is not None
    same = replace(run, per_image={**run.per_image, "dice": np.full(60, 0.5)})
    best, worst = rank_cases(replace(networks[0], result=same))
    certainty = [run.probabilities[index, run.class_names.index(run.labels[index])] for index in best + worst]
    assert certainty[:12] == sorted(certainty[:12], reverse=True)
    assert certainty[12:] == sorted(certainty[12:])
    assert min(certainty[:12]) > max(certainty[12:])


def test_without_masks_all_cases_are_ranked_by_certainty(networks: list[Network]) -> None:
    result = replace(networks[1].result, per_image={})
    best, worst = rank_cases(replace(networks[1], result=result))
    assert {result.labels[index] for index in best + worst} == {"benign", "malignant", "normal"}


def test_few_cases_are_not_shown_twice(networks: list[Network]) -> None:
    run = networks[0].result
    labels = ("benign", "malignant", "benign", *["normal"] * 57)
    best, worst = rank_cases(replace(networks[0], result=replace(run, labels=labels)))
    assert (len(best), len(worst)) == (1, 1)


def test_pictures_show_truth_and_prediction(network: Network) -> None:
    records, _ = find_records([network])
    pictures = draw_cases(network, records)
    assert pictures.problem == ""
    best, worst = pictures.rows
    assert best.title == f"{len(best.cases)} best, by Dice of the lesion"
    assert worst.title == f"{len(worst.cases)} worst"
    case = best.cases[0]
    assert case.problem == ""
    assert case.picture is not None
    # Phantoms of 64x64 are shown at 300; the saved predictions equal the truth, which is drawn first.
    assert (case.picture.width, case.picture.height) == (300, 300)
    content = base64.b64decode(case.picture.address.partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    assert (pixels[..., 0] - pixels[..., 2]).max() > 100
    place = network.result.images.index(("busi", case.name))
    assert case.dice == network.result.per_image["dice"][place]
    assert network.result.predicted is not None
    assert case.predicted == network.result.predicted[place]
    assert network.result.probabilities is not None
    assert case.probability == network.result.probabilities[place].max()


def test_missing_inputs_are_reported(network: Network, networks: list[Network], tmp_path: Path) -> None:
    records, _ = find_records([network])
    nothing = draw_cases(networks[0], {})
    assert (nothing.rows, nothing.problem) == (
        (),
        "No predictions were saved: test again with acsnet test --save-predictions.",
    )
    assert draw_cases(network, {}).problem == NOT_FOUND

    # One prediction is missing, another one differs in size.
    best, _ = rank_cases(network)
    folder = tmp_path / "test"
    runs = []
    for fold, run in enumerate(network.runs):
        own = folder / str(fold)
        shutil.copytree(run.folders[0], own)
        runs.append(replace(run, folders=(own,)))
    moved = replace(network, runs=tuple(runs))
    lacking, odd = (network.result.images[index] for index in best[:2])
    for image in (lacking, odd):
        assert image in find_saved_masks(moved)
        for fold in (0, 1):
            mask_path(folder / str(fold), *image).unlink(missing_ok=True)
    path = mask_path(folder / "0", *odd)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(path)
    cases = draw_cases(moved, records).rows[0].cases
    assert cases[0].problem == "its prediction was not saved"
    assert cases[1].problem == f"{path} differs in size from its image"
    assert cases[0].picture is cases[1].picture is None
    assert all(case.picture for case in cases[2:])
    del records[network.result.images[best[2]]]
    assert draw_cases(moved, records).rows[0].cases[2].problem == "the image was not found"
