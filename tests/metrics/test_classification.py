"""Classification metrics against scikit-learn called directly and a confusion matrix counted by hand."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from acsnet.errors import InputError
from acsnet.metrics import classification_metrics

NAMES = ["benign", "malignant", "normal"]


def random_case(images=120, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=images)
    logits = generator.normal(size=(images, classes)) + 1.2 * np.eye(classes)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def one_hot(predicted, classes=3):
    return np.eye(classes)[predicted]


def test_means_equal_scikit_learn():
    labels, probabilities = random_case()
    predicted = probabilities.argmax(axis=1)
    result = classification_metrics(labels, probabilities, NAMES)
    expected = {
        "n": 120,
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "precision_macro": sk.precision_score(labels, predicted, average="macro"),
        "recall_macro": sk.recall_score(labels, predicted, average="macro"),
        "f1_macro": sk.f1_score(labels, predicted, average="macro"),
        "f1_weighted": sk.f1_score(labels, predicted, average="weighted"),
        "auroc_macro": sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
        "auroc_malignant": sk.roc_auc_score(labels == 1, probabilities[:, 1]),
        "sensitivity": sk.recall_score(labels == 1, predicted == 1),
        "specificity": sk.recall_score(labels != 1, predicted != 1),
    }
    assert {key: result[key] for key in expected} == pytest.approx(expected)
    assert result["confusion_matrix"] == sk.confusion_matrix(labels, predicted).tolist()
    assert result["notes"] == {}
    assert set(result) == {*expected, "per_class", "confusion_matrix", "notes"}


def test_by_hand():
    labels = [0, 0, 0, 0, 1, 1, 1, 2]
    result = classification_metrics(labels, one_hot([0, 0, 1, 2, 1, 1, 0, 2]), NAMES)
    assert result["confusion_matrix"] == [[2, 1, 1], [1, 2, 0], [0, 0, 1]]
    assert result["accuracy"] == 5 / 8
    assert result["sensitivity"] == pytest.approx(2 / 3)
    assert result["specificity"] == pytest.approx(4 / 5)
    assert result["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    benign = result["per_class"]["benign"]
    assert benign == pytest.approx({"precision": 2 / 3, "recall": 0.5, "f1": 4 / 7, "auroc": 0.625, "support": 4})
    assert [row["support"] for row in result["per_class"].values()] == [4, 3, 1]


def test_result_is_json():
    result = classification_metrics(*random_case(), NAMES)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_lists_and_half_precision_are_taken():
    labels, probabilities = random_case()
    result = classification_metrics(labels.tolist(), probabilities.astype(np.float16), NAMES)
    assert result["accuracy"] == pytest.approx(
        classification_metrics(labels, probabilities, NAMES)["accuracy"], abs=0.02
    )


def test_two_classes():
    labels, probabilities = random_case(classes=2)
    result = classification_metrics(labels, probabilities, ["benign", "malignant"])
    assert result["auroc_macro"] == pytest.approx(result["auroc_malignant"])
    assert result["auroc_malignant"] == pytest.approx(sk.roc_auc_score(labels, probabilities[:, 1]))


@pytest.mark.filterwarnings("error")  # scikit-learn warns where something is undefined; here a note says so
def test_an_absent_class_is_noted_and_left_out():
    labels, probabilities = random_case()
    kept = labels != 2
    result = classification_metrics(labels[kept], probabilities[kept], NAMES)
    predicted = probabilities[kept].argmax(axis=1)
    expected = sk.f1_score(labels[kept], predicted, labels=[0, 1], average="macro")
    assert result["f1_macro"] == pytest.approx(expected)
    assert result["f1_weighted"] == pytest.approx(sk.f1_score(labels[kept], predicted, average="weighted"))
    assert result["per_class"]["normal"] == dict.fromkeys(["precision", "recall", "f1", "auroc"]) | {"support": 0}
    assert result["auroc_macro"] is None
    assert result["auroc_malignant"] is not None
    assert "normal has no case" in result["notes"]["auroc_macro"]
    assert result["notes"]["f1_macro"] == "no case of normal: left out"
    assert "f1_weighted" not in result["notes"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("label", "undefined", "defined"), [(0, "sensitivity", "specificity"), (1, "specificity", "sensitivity")]
)
def test_a_single_class(label, undefined, defined):
    result = classification_metrics([label] * 4, one_hot([0, 1, 2, 1]), NAMES)
    assert result[undefined] is None
    assert result[defined] == 0.5
    assert result["auroc_malignant"] is None
    assert {undefined, "auroc_malignant", "auroc_macro"} <= set(result["notes"])
    assert defined not in result["notes"]


def test_without_a_malignant_class():
    result = classification_metrics(*random_case(classes=2), ["lesion", "normal"])
    for entry in ("auroc_malignant", "sensitivity", "specificity"):
        assert result[entry] is None
        assert result["notes"][entry] == "no class is named 'malignant'"
    assert result["auroc_macro"] is not None


def test_a_class_that_is_never_predicted_has_precision_zero():
    result = classification_metrics([0, 1, 2], one_hot([0, 0, 2]), NAMES)
    assert result["per_class"]["malignant"] | {"auroc": None} == {
        "precision": 0.0,
        "recall": 0.0,
        "f1": 0.0,
        "auroc": None,
        "support": 1,
    }


@pytest.mark.parametrize(
    ("labels", "probabilities", "names", "match"),
    [
        ([0, 1], one_hot([0, 1, 2]), NAMES, r"shape is \(3, 3\): expected \(2, 3\)"),
        ([0, 1], one_hot([0, 1]), NAMES[:2], r"shape is \(2, 3\): expected \(2, 2\)"),
        ([0, 3], one_hot([0, 1]), NAMES, "labels range from 0 to 3: expected 0 to 2"),
        ([-1, 1], one_hot([0, 1]), NAMES, "labels range from -1 to 1: expected 0 to 2"),
        ([0.0, 1.0], one_hot([0, 1]), NAMES, r"labels are float64 of shape \(2,\): expected integers"),
        ([[0], [1]], one_hot([0, 1]), NAMES, r"of shape \(2, 1\): expected integers of shape \(N,\)"),
        ([], np.zeros((0, 3)), NAMES, "N at least 1"),
        ([0, 1], 2 * one_hot([0, 1]), NAMES, r"image 0 are \[2.0, 0.0, 0.0\] \(2 such images\)"),
        (
            [0, 1],
            [[1, 0, 0], [0.5, 0.2, 0.2]],
            NAMES,
            r"image 1 .* \(1 such images\): expected values in 0 to 1 with sum 1",
        ),
        ([0, 1], [[1, 0, 0], [1.5, -0.5, 0]], NAMES, "image 1 .* expected values in 0 to 1"),
        ([0, 1], [[1, 0, 0], [np.nan, 0, 0]], NAMES, "image 1 .* expected values in 0 to 1"),
        ([0, 1], one_hot([0, 1]), ["a", "b", "a"], r"class names \['a', 'b', 'a'\] repeat"),
    ],
)
def test_wrong_input_is_refused(labels, probabilities, names, match):
    with pytest.raises(InputError, match=match):
        classification_metrics(labels, probabilities, names)
