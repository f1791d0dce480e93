"""Checkpoints made into files that run without this package: ONNX, and PyTorch's exported programs."""

from acsnet.export.formats import METADATA_KEY, list_formats
from acsnet.export.network import ProbabilityNetwork
from acsnet.export.pipeline import TOLERANCE, Export, default_export, export_checkpoint

__all__ = [
    "METADATA_KEY",
    "TOLERANCE",
    "Export",
    "ProbabilityNetwork",
    "default_export",
    "export_checkpoint",
    "list_formats",
]
