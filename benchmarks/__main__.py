"""Measure speed and memory against other libraries: python -m benchmarks BENCHMARK [--json FILE]."""

import argparse
from collections.abc import Callable
from pathlib import Path

import benchmarks
from acsnet._utils.files import write_text
from acsnet.cli import run

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "speed.md"
QUALITY_PAGES = (PAGE, ROOT / "README.md")
RECIPE = ROOT / "configs/released/acsnet.yaml"
BENCHMARKS = ("deform_conv", "train", "infer", "tasks", "data", "files", "growth", "around", "quality", "page")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "benchmark",
        choices=BENCHMARKS,
        help="page does not measure: it writes the results in --json and --csv to docs/benchmarks/speed.md, and those "
        "in --csv to README.md",
    )
    parser.add_argument(
        "--json",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="add the results to this file; for page one file per machine, in the order of the page",
    )
    parser.add_argument("--device", metavar="DEVICE", help="cuda, cuda:N, mps or cpu; default: a GPU if there is one")
    parser.add_argument(
        "--rounds",
        type=int,
        choices=range(1, 1000),
        metavar="N",
        default=7,
        help="number of timings of each contender, interleaved",
    )
    parser.add_argument(
        "--root",
        type=Path,
        help="data: images in BUSI's layout; default: generated phantoms. quality: the folder of BUSI; required",
    )
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="quality: the tested epochs are written to this file; page: read from it",
    )
    parser.add_argument(
        "--recipe", type=Path, default=RECIPE, metavar="CONFIG", help="quality: the configuration of the training"
    )
    arguments = parser.parse_args()
    if arguments.benchmark == "page" and arguments.json is None and arguments.csv is None:
        parser.error("page needs --json FILE or --csv FILE, the results to write")
    if arguments.benchmark != "page" and len(arguments.json or []) > 1:
        parser.error(f"{arguments.benchmark} adds its results to one file, but --json has {len(arguments.json)}")
    if arguments.benchmark == "quality" and arguments.root is None:
        parser.error("quality needs --root DIR, the folder of BUSI")
    return arguments


def measure(arguments: argparse.Namespace) -> None:
    """Run one benchmark, print its results and write them to --json."""
    import torch

    from acsnet._utils.devices import choose_device
    from acsnet.config import load_config
    from acsnet.training import describe_environment

    device = choose_device(arguments.device)
    environment = describe_environment(device, "", 1)
    machine = {key: environment[key] for key in ("device", "threads")} | {"torch": torch.__version__.split("+")[0]}
    if arguments.json:
        benchmarks.Report(machine, ()).check_file(arguments.json[0])
    functions: dict[str, Callable[[torch.device, int], list[benchmarks.Measurement]]] = {
        "deform_conv": benchmarks.benchmark_operator,
        "train": benchmarks.benchmark_training,
        "infer": benchmarks.benchmark_inference,
        "tasks": benchmarks.benchmark_tasks,
        "files": benchmarks.benchmark_files,
        "growth": benchmarks.benchmark_growth,
        "around": lambda _, rounds: benchmarks.benchmark_around(rounds),
    }
    if arguments.benchmark == "data":
        transforms = load_config(ROOT / "configs/acsnet_busi.yaml").augmentation
        rows = benchmarks.benchmark_pipeline(arguments.root, transforms, arguments.rounds)
    else:
        rows = functions[arguments.benchmark](device, arguments.rounds)
    print(benchmarks.render_text(rows))
    if arguments.json:
        benchmarks.Report(machine, tuple(rows)).write(arguments.json[0])


def run_quality(arguments: argparse.Namespace) -> None:
    """Train and test the contenders, print each epoch, and write all to --csv after each."""
    from acsnet.config import load_config

    rows: list[benchmarks.EpochTest] = []

    def add(row: benchmarks.EpochTest) -> None:
        rows.append(row)
        print(
            f"{row.contender}, epoch {row.epoch}, {row.minutes:.1f} min: lesion Dice {row.lesion_dice:.3f}, "
            f"accuracy {row.accuracy:.3f}",
            flush=True,
        )
        if arguments.csv is not None:
            benchmarks.write_epochs(arguments.csv, rows)

    benchmarks.benchmark_quality(load_config(arguments.recipe, [f"data.root={arguments.root}"]), add)
    print(benchmarks.quality_table(rows).to_text())


def write_pages(arguments: argparse.Namespace) -> None:
    """Write earlier results to their pages."""
    if arguments.json:
        benchmarks.update_page(PAGE, *map(benchmarks.Report.read, arguments.json))
    if arguments.csv is not None:
        for page, text in benchmarks.quality_pages(benchmarks.read_epochs(arguments.csv), QUALITY_PAGES).items():
            write_text(page, text)


def main() -> None:
    """Run a benchmark, or write earlier results to pages."""
    arguments = parse_arguments()
    if arguments.benchmark == "page":
        write_pages(arguments)
    elif arguments.benchmark == "quality":
        run_quality(arguments)
    else:
        measure(arguments)


if __name__ == "__main__":
    raise SystemExit(run(main))
