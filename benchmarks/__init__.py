"""Benchmarks of speed and memory against other libraries: the operator, training, inference and the input pipeline."""

from benchmarks.measure import Measurement
from benchmarks.networks import benchmark_growth, benchmark_inference, benchmark_tasks, benchmark_training
from benchmarks.operator import benchmark_operator
from benchmarks.pipeline import benchmark_pipeline
from benchmarks.report import Report, check_readme, render_text, update_readme

__all__ = [
    "Measurement",
    "Report",
    "benchmark_growth",
    "benchmark_inference",
    "benchmark_operator",
    "benchmark_pipeline",
    "benchmark_tasks",
    "benchmark_training",
    "check_readme",
    "render_text",
    "update_readme",
]
