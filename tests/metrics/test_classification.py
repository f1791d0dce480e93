"""Classification metrics against direct calls of scikit-learn and a confusion matrix computed by hand."""

import json

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from acsnet.errors import InputError
from acsnet.metrics import brier_score, classification_metrics, expected_calibration_error, sensitivity_at_specificity

CLASS_FIGURES = ["precision", "recall", "f1", "auroc", "average_precision"]
NAMES = ["benign", "malignant", "normal"]


def random_case(images=120, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=images)
    logits = generator.normal(size=(images, classes)) + 1.2 * np.eye(classes)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def one_hot(predicted, classes=3):
    return np.eye(classes)[predicted]


def brute_force_sensitivity(positive, scores, specificity):
    """Try all thresholds."""
    reached = [
        np.mean(scores[positive] >= threshold)
        for threshold in [*scores, np.inf]
        if np.mean(scores[~positive] < threshold) >= specificity
    ]
    return max(reached)


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
        "average_precision_macro": sk.average_precision_score(np.eye(3)[labels], probabilities, average="macro"),
        "average_precision_malignant": sk.average_precision_score(labels == 1, probabilities[:, 1]),
        "sensitivity_at_90_specificity": brute_force_sensitivity(labels == 1, probabilities[:, 1], 0.9),
        "brier": brier_score(labels, probabilities),
        "ece": expected_calibration_error(labels, probabilities),
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
    # At the one threshold 2 of 3 are benign, and half of the benign; then all 8 are taken, 4 of them benign.
    figures = {"precision": 2 / 3, "recall": 0.5, "f1": 4 / 7, "auroc": 0.625}
    assert benign == pytest.approx(figures | {"average_precision": 0.5 * 2 / 3 + 0.5 * 4 / 8, "support": 4})
    # 1 of 5 others is called malignant: no threshold but the highest has a specificity of 0.9.
    assert result["sensitivity_at_90_specificity"] == 0
    assert [row["support"] for row in result["per_class"].values()] == [4, 3, 1]


def test_result_is_json():
    result = classification_metrics(*random_case(), NAMES)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_lists_and_half_precision_are_valid():
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
def test_an_absent_class_is_noted_and_skipped():
    labels, probabilities = random_case()
    kept = labels != 2
    result = classification_metrics(labels[kept], probabilities[kept], NAMES)
    predicted = probabilities[kept].argmax(axis=1)
    expected = sk.f1_score(labels[kept], predicted, labels=[0, 1], average="macro")
    assert result["f1_macro"] == pytest.approx(expected)
    assert result["f1_weighted"] == pytest.approx(sk.f1_score(labels[kept], predicted, average="weighted"))
    assert result["per_class"]["normal"] == dict.fromkeys(CLASS_FIGURES) | {"support": 0}
    assert result["auroc_malignant"] is not None
    assert result["average_precision_malignant"] is not None
    assert "f1_weighted" not in result["notes"]


MEANS = ("precision_macro", "recall_macro", "f1_macro", "balanced_accuracy", "auroc_macro", "average_precision_macro")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("classes", "present"),
    [(3, [0, 1]), (3, [0, 2]), (3, [1, 2]), (5, [0, 1, 2, 3]), (5, [1, 3, 4]), (5, [2, 4])],
)
def test_means_over_the_present_classes_equal_scikit_learn(classes, present):
    """Images of some classes only, among whose predictions are also the other classes."""
    labels, probabilities = random_case(images=300, classes=classes)
    kept = np.isin(labels, present)
    labels, probabilities = labels[kept], probabilities[kept]
    predicted = probabilities.argmax(axis=1)
    assert set(predicted) == set(range(classes))
    names = ["benign", "malignant", "normal", "cyst", "scar"][:classes]
    result = classification_metrics(labels, probabilities, names)
    is_class, columns = np.eye(classes)[labels][:, present], probabilities[:, present]
    options = {"labels": present, "average": "macro"}
    expected = {
        "precision_macro": sk.precision_score(labels, predicted, zero_division=0, **options),
        "recall_macro": sk.recall_score(labels, predicted, **options),
        "f1_macro": sk.f1_score(labels, predicted, **options),
        "balanced_accuracy": sk.recall_score(labels, predicted, **options),
        "f1_weighted": sk.f1_score(labels, predicted, labels=present, average="weighted"),
        "auroc_macro": sk.roc_auc_score(is_class, columns, average="macro"),
        "average_precision_macro": sk.average_precision_score(is_class, columns, average="macro"),
    }
    assert {key: result[key] for key in expected} == pytest.approx(expected)
    absent = ", ".join(name for index, name in enumerate(names) if index not in present)
    assert {key: result["notes"][key] for key in MEANS} == dict.fromkeys(MEANS, f"no case of {absent}: left out")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("label", "undefined", "defined"), [(0, "sensitivity", "specificity"), (1, "specificity", "sensitivity")]
)
def test_a_single_class(label, undefined, defined):
    result = classification_metrics([label] * 4, one_hot([0, 1, 2, 1]), NAMES)
    assert result[undefined] is None
    assert result[defined] == 0.5
    assert result["auroc_malignant"] is None
    for entry in ("auroc_malignant", "average_precision_malignant"):
        assert result[entry] is None
        assert "has no case, or no other class has one" in result["notes"][entry]
    for entry in ("auroc_macro", "average_precision_macro"):
        assert result[entry] is None
        assert result["notes"][entry] == "undefined: only one class has a case"
    reason = "every case is malignant" if label == 1 else "no case of malignant"
    assert result["notes"][undefined] == result["notes"]["sensitivity_at_90_specificity"] == reason
    assert result["sensitivity_at_90_specificity"] is None
    assert defined not in result["notes"]


def test_without_a_malignant_class():
    result = classification_metrics(*random_case(classes=2), ["lesion", "normal"])
    entries = ("auroc_malignant", "average_precision_malignant", "sensitivity", "specificity")
    for entry in (*entries, "sensitivity_at_90_specificity"):
        assert result[entry] is None
        assert result["notes"][entry] == "no class is named 'malignant'"
    assert result["auroc_macro"] is not None


def test_a_class_that_is_never_predicted_has_precision_zero():
    result = classification_metrics([0, 1, 2], one_hot([0, 0, 2]), NAMES)
    row = result["per_class"]["malignant"]
    assert [row[key] for key in ("precision", "recall", "f1", "support")] == [0, 0, 0, 1]


@pytest.mark.parametrize("specificity", [0.0, 0.5, 0.7, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("decimals", [1, 12])  # with and without ties
def test_sensitivity_at_specificity_equals_a_search_over_thresholds(specificity, decimals):
    labels, probabilities = random_case(images=200)
    positive, scores = labels == 1, probabilities[:, 1].round(decimals)
    expected = brute_force_sensitivity(positive, scores, specificity)
    assert sensitivity_at_specificity(positive, scores, specificity) == pytest.approx(expected)


def test_sensitivity_at_specificity_by_hand():
    others, cases = np.arange(10) / 10, np.array([0.95, 0.85, 0.75, 0.05])
    positive, scores = np.repeat([False, True], [10, 4]), np.concatenate([others, cases])
    # From 0.85 on, 9 of 10 others are below and 2 of 4 cases above; one more would cost another of the others.
    assert sensitivity_at_specificity(positive, scores) == 0.5
    assert sensitivity_at_specificity(positive, scores, 0.8) == 0.75
    assert sensitivity_at_specificity(positive, scores, 1.0) == 0.25
    assert sensitivity_at_specificity(positive, scores, 0.0) == 1.0
    # Each score once among cases and once among others: the points of the curve lie on one line, and none is left out.
    pairs, scores_of_pairs = np.tile([False, True], 10), np.repeat(np.arange(10), 2)
    assert sensitivity_at_specificity(pairs, scores_of_pairs, 0.8) == pytest.approx(0.2)
    # One score for all: nothing lies between all and none.
    assert sensitivity_at_specificity(positive, np.ones(14)) == 0.0
    assert np.isnan(sensitivity_at_specificity(positive[:10], scores[:10]))
    assert np.isnan(sensitivity_at_specificity(positive[10:], scores[10:]))


@pytest.mark.parametrize(
    ("positive", "scores", "specificity", "match"),
    [
        ([0, 1], [0.1, 0.2], 0.9, r"`positive` is int64 of shape \(2,\): expected booleans of shape \(N,\)"),
        ([[True, False]], [0.1, 0.2], 0.9, r"`positive` is bool of shape \(1, 2\)"),
        ([True, False], [0.1], 0.9, r"scores have shape \(1,\): expected 2 finite numbers, one per case"),
        ([True, False], [0.1, np.nan], 0.9, "expected 2 finite numbers"),
        ([True, False], [0.1, 0.2], 90, "specificity is 90: expected a number in 0 to 1"),
    ],
)
def test_wrong_input_of_a_ranking_is_refused(positive, scores, specificity, match):
    with pytest.raises(InputError, match=match):
        sensitivity_at_specificity(positive, scores, specificity)


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
            r"image 1 .* \(1 such images\): expected values in 0 to 1 with a sum of 1",
        ),
        ([0, 1], [[1, 0, 0], [1.5, -0.5, 0]], NAMES, "image 1 .* expected values in 0 to 1"),
        ([0, 1], [[1, 0, 0], [np.nan, 0, 0]], NAMES, "image 1 .* expected values in 0 to 1"),
        ([0, 1], one_hot([0, 1]), ["a", "b", "a"], r"class names \['a', 'b', 'a'\] are not unique"),
    ],
)
def test_wrong_input_is_refused(labels, probabilities, names, match):
    with pytest.raises(InputError, match=match):
        classification_metrics(labels, probabilities, names)


@pytest.mark.parametrize("grad", [False, True])
def test_tensors_have_the_metrics_of_arrays(grad):
    labels, probabilities = random_case()
    tensors = torch.from_numpy(labels), torch.from_numpy(probabilities).requires_grad_(grad)
    predicted = np.roll(labels, 1)
    assert classification_metrics(*tensors, NAMES, torch.from_numpy(predicted)) == classification_metrics(
        labels, probabilities, NAMES, predicted
    )
    assert classification_metrics(*tensors, NAMES) == classification_metrics(labels, probabilities, NAMES)
    for function in (brier_score, expected_calibration_error):
        assert function(*tensors) == function(labels, probabilities)
    positive, scores = labels == 1, probabilities[:, 1]
    found = sensitivity_at_specificity(torch.from_numpy(positive), tensors[1][:, 1])
    assert found == sensitivity_at_specificity(positive, scores)
    halves = torch.tensor([[0.5, 0.5, 0.0]] * 120, dtype=torch.bfloat16)
    assert brier_score(tensors[0], halves) == brier_score(labels, np.asarray(halves.float()))
