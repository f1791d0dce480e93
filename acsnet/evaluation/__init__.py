"""Predicting and testing with trained networks."""

from acsnet.evaluation.decision import Decision, Prediction, Probabilities
from acsnet.evaluation.evaluate import Evaluation, evaluate
from acsnet.evaluation.explain import class_activation, explain_images
from acsnet.evaluation.inference import matching_autocast, prepare_for_inference, prepare_images
from acsnet.evaluation.kept import mask_path, probability_path
from acsnet.evaluation.predict_files import draw_prediction, find_images, predict_files
from acsnet.evaluation.predictor import Predictor
from acsnet.evaluation.protocol import default_out, resolve_test_config, run_test
from acsnet.evaluation.table import metric_table

__all__ = [
    "Decision",
    "Evaluation",
    "Prediction",
    "Predictor",
    "Probabilities",
    "class_activation",
    "default_out",
    "draw_prediction",
    "evaluate",
    "explain_images",
    "find_images",
    "mask_path",
    "matching_autocast",
    "metric_table",
    "predict_files",
    "prepare_for_inference",
    "prepare_images",
    "probability_path",
    "resolve_test_config",
    "run_test",
]
