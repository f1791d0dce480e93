"""Checkpoints made into files that run without this package: ONNX, and PyTorch's exported programs."""

from acsnet.evaluation.export.export import TOLERANCE, Export, default_export, export_checkpoint
from acsnet.evaluation.export.formats import METADATA_KEY, list_formats
from acsnet.evaluation.export.network import ProbabilityNetwork

__all__ = [
    "METADATA_KEY",
    "TOLERANCE",
    "Export",
    "ProbabilityNetwork",
    "default_export",
    "export_checkpoint",
    "list_formats",
]
