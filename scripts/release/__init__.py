"""Releasing checkpoints: conversion, figures, cards, and the check that all of it still holds."""

from scripts.release.check import check_figures, check_release
from scripts.release.conversion import MAX_FILE_BYTES, MAX_TOTAL_BYTES, release_checkpoint
from scripts.release.readme import README_NAME, release_readme, write_index
from scripts.release.test_results import add_test

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
