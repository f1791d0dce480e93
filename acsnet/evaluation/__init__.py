"""Predicting and testing with trained networks."""

from acsnet.evaluation.decision import Decision, Prediction, Probabilities
from acsnet.evaluation.evaluate import Evaluation, evaluate
from acsnet.evaluation.inference import prepare_for_inference
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
    "default_out",
    "draw_prediction",
    "evaluate",
    "find_images",
    "mask_path",
    "metric_table",
    "predict_files",
    "prepare_for_inference",
    "probability_path",
    "resolve_test_config",
    "run_test",
]
