"""Releasing checkpoints: conversion, results, generated READMEs, and checks of released files."""

from scripts.release.check import check_release, reproduce_results
from scripts.release.conversion import MAX_TOTAL_BYTES, release_checkpoint
from scripts.release.cross_validation import add_crossval
from scripts.release.readme import README_NAME, release_readme, write_index
from scripts.release.test_results import add_test

__all__ = [
    "MAX_TOTAL_BYTES",
    "README_NAME",
    "add_crossval",
    "add_test",
    "check_release",
    "release_checkpoint",
    "release_readme",
    "reproduce_results",
    "write_index",
]
