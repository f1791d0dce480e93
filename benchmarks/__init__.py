"""Speed and memory beside the libraries that are replaced: the operator, a training step, inference, the input."""

from benchmarks.measure import Row
from benchmarks.networks import benchmark_growth, benchmark_inference, benchmark_training
from benchmarks.operator import benchmark_operator
from benchmarks.pipeline import benchmark_pipeline
from benchmarks.report import Report, check_readme, render_text, update_readme

__all__ = [
    "Report",
    "Row",
    "benchmark_growth",
    "benchmark_inference",
    "benchmark_operator",
    "benchmark_pipeline",
    "benchmark_training",
    "check_readme",
    "render_text",
    "update_readme",
]
