"""Export of checkpoints to files that run without this package: ONNX, and programs of ``torch.export``."""

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
