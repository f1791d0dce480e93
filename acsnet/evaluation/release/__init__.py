"""Releasing checkpoints: conversion, figures, cards, and the check that all of it still holds."""

from acsnet.evaluation.release.check import check_figures, check_release
from acsnet.evaluation.release.conversion import MAX_FILE_BYTES, MAX_TOTAL_BYTES, release_checkpoint
from acsnet.evaluation.release.figures import add_test
from acsnet.evaluation.release.readme import README_NAME, release_readme, write_index

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_TOTAL_BYTES",
    "README_NAME",
    "add_test",
    "check_figures",
    "check_release",
    "release_checkpoint",
    "release_readme",
    "write_index",
]
