"""The names of tasks and classes, defined once for the whole package."""

from typing import Literal, get_args

Task = Literal["segmentation", "classification"]
TASKS: tuple[Task, ...] = get_args(Task)

BENIGN = "benign"
MALIGNANT = "malignant"
NORMAL = "normal"
# In the order of the class indices; a dataset or a configuration may have others.
CLASS_NAMES = (BENIGN, MALIGNANT, NORMAL)
# Sensitivity, specificity and AUROC are those of this class versus all others.
POSITIVE_CLASS = MALIGNANT
