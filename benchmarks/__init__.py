"""Benchmarks against other libraries: the operator, training, inference, the input pipeline, commands, quality."""

from benchmarks.around import benchmark_around
from benchmarks.files import benchmark_files
from benchmarks.measure import Measurement
from benchmarks.networks import benchmark_growth, benchmark_inference, benchmark_tasks, benchmark_training
from benchmarks.operator import benchmark_operator
from benchmarks.pipeline import benchmark_pipeline
from benchmarks.quality import EpochTest, benchmark_quality, quality_pages, quality_table, read_epochs, write_epochs
from benchmarks.report import Report, check_page, render_text, update_page

__all__ = [
    "EpochTest",
    "Measurement",
    "Report",
    "benchmark_around",
    "benchmark_files",
    "benchmark_growth",
    "benchmark_inference",
    "benchmark_operator",
    "benchmark_pipeline",
    "benchmark_quality",
    "benchmark_tasks",
    "benchmark_training",
    "check_page",
    "quality_pages",
    "quality_table",
    "read_epochs",
    "render_text",
    "update_page",
    "write_epochs",
]
