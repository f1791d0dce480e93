"""Prediction with trained networks: masks, classes, uncertainty and heat maps of images and files."""

from acsnet.inference.decision import Decision, Prediction, Probabilities
from acsnet.inference.grad_cam import class_activation, explain_images
from acsnet.inference.image_batches import Images
from acsnet.inference.input_files import find_images
from acsnet.inference.lesion_shape import Lesion, LesionShape, find_lesions, lesion_shapes
from acsnet.inference.measurements import lesion_rows
from acsnet.inference.predict_files import draw_prediction, predict_files
from acsnet.inference.predictor import Predictor
from acsnet.inference.preprocessing import frame_images, matching_autocast, prepare_for_inference, prepare_images
from acsnet.inference.saved_predictions import mask_path, probability_path

__all__ = [
    "Decision",
    "Images",
    "Lesion",
    "LesionShape",
    "Prediction",
    "Predictor",
    "Probabilities",
    "class_activation",
    "draw_prediction",
    "explain_images",
    "find_images",
    "find_lesions",
    "frame_images",
    "lesion_rows",
    "lesion_shapes",
    "mask_path",
    "matching_autocast",
    "predict_files",
    "prepare_for_inference",
    "prepare_images",
    "probability_path",
]
