"""Predicting and testing with trained networks."""

from acsnet.evaluation.evaluate import Evaluation, evaluate
from acsnet.evaluation.explain import class_activation, explain_images
from acsnet.evaluation.inference import matching_autocast, prepare_for_inference, prepare_images
from acsnet.evaluation.predict_files import draw_prediction, find_images, predict_files
from acsnet.evaluation.predictor import Prediction, Predictor
from acsnet.evaluation.protocol import resolve_test_config, run_test
from acsnet.evaluation.table import metric_table

__all__ = [
    "Evaluation",
    "Prediction",
    "Predictor",
    "class_activation",
    "draw_prediction",
    "evaluate",
    "explain_images",
    "find_images",
    "matching_autocast",
    "metric_table",
    "predict_files",
    "prepare_for_inference",
    "prepare_images",
    "resolve_test_config",
    "run_test",
]
