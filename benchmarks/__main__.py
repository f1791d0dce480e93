"""Measure speed and memory against other libraries: python -m benchmarks WHAT [--json FILE]."""

import argparse
from collections.abc import Callable
from pathlib import Path

import benchmarks
from acsnet.cli import run

ROOT = Path(__file__).resolve().parents[1]
WHAT = ("deform_conv", "train", "infer", "data", "growth", "readme")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "what", choices=WHAT, help="what to measure; readme writes the figures of --json into the README"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="add the figures to this file")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="by default cuda where there is one")
    parser.add_argument(
        "--rounds", type=int, choices=range(1, 1000), metavar="N", default=7, help="how often each is timed, in turns"
    )
    parser.add_argument("--root", type=Path, help="data: images in BUSI's layout; by default phantoms made for it")
    arguments = parser.parse_args()
    if arguments.what == "readme" and arguments.json is None:
        parser.error("readme needs --json FILE, the figures to show")
    return arguments


def measure(arguments: argparse.Namespace) -> None:
    """Run one benchmark and print, and keep, what it gives."""
    import torch

    from acsnet.config import load_config
    from acsnet.errors import InputError
    from acsnet.training import describe_environment

    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no CUDA device here: leave --device out, or give --device cpu")
    environment = describe_environment(device, "", 1)
    machine = {key: environment[key] for key in ("device", "threads")} | {"torch": torch.__version__.split("+")[0]}
    if arguments.json is not None:
        benchmarks.Report(machine, ()).check_file(arguments.json)
    functions: dict[str, Callable[[torch.device, int], list[benchmarks.Row]]] = {
        "deform_conv": benchmarks.benchmark_operator,
        "train": benchmarks.benchmark_training,
        "infer": benchmarks.benchmark_inference,
        "growth": benchmarks.benchmark_growth,
    }
    if arguments.what == "data":
        transforms = load_config(ROOT / "configs/acsnet_busi.yaml").augmentation
        rows = benchmarks.benchmark_pipeline(arguments.root, transforms, arguments.rounds)
    else:
        rows = functions[arguments.what](device, arguments.rounds)
    print(benchmarks.render_text(rows))
    if arguments.json is not None:
        benchmarks.Report(machine, tuple(rows)).write(arguments.json)


def main() -> None:
    """Measure, or show what was measured."""
    arguments = parse_arguments()
    if arguments.what == "readme":
        from benchmarks import Report, update_readme

        update_readme(ROOT / "README.md", Report.read(arguments.json))
    else:
        measure(arguments)


if __name__ == "__main__":
    raise SystemExit(run(main))
