"""Release a checkpoint in two steps, or check what is released: python -m scripts.release --help."""

import argparse
from pathlib import Path

from acsnet.cli import add_override_argument, run

_STEPS = """first   python -m scripts.release CHECKPOINT --name NAME --recipe CONFIG [--set ...] --license TEXT [...]
then    python tools/test.py --checkpoint NAME [--set ...] --out DIR
then    python -m scripts.release --name NAME --results DIR [--set data.root=... or data.records=...]
always  python -m scripts.release --check [--reproduce [--set data.root=...]]"""


def main() -> None:
    """Parse the command line and do the step that it names."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.release",
        description="Release a checkpoint: write its float16 file, then add the figures of a test of that very file.",
        epilog=_STEPS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", nargs="?", type=Path, metavar="CHECKPOINT", help="of a training")
    parser.add_argument("--name", metavar="NAME", help="to release it under")
    parser.add_argument("--recipe", type=Path, metavar="CONFIG", help="the configuration it was trained by")
    before_help = "what made the weights it started from, as 'tools/train.py CONFIG'"
    parser.add_argument("--before", nargs="+", default=[], metavar="COMMAND", help=before_help)
    parser.add_argument("--license", metavar="TEXT", help="of the weights, as CC-BY-4.0")
    parser.add_argument("--limits", nargs="+", default=[], metavar="TEXT", help="what it is not good at")
    parser.add_argument("--results", type=Path, metavar="DIR", help="what tools/test.py --checkpoint NAME wrote")
    add_override_argument(parser, "data.root=FOLDER, as the training or test had")
    parser.add_argument("--readme", action="store_true", help="write checkpoints/README.md anew")
    parser.add_argument("--check", action="store_true", help="fail where files, sizes, README or figures are wrong")
    parser.add_argument("--reproduce", action="store_true", help="with --check: test each checkpoint again")
    arguments = parser.parse_args()
    steps = [arguments.checkpoint, arguments.results, arguments.readme or None, arguments.check or None]
    if sum(step is not None for step in steps) != 1:
        parser.error("give one of CHECKPOINT, --results, --readme and --check")
    if arguments.checkpoint and not (arguments.name and arguments.recipe and arguments.license):
        parser.error("CHECKPOINT needs --name, --recipe and --license")
    if arguments.results and not arguments.name:
        parser.error("--results needs --name")

    from acsnet.checkpoints import index_folder, list_checkpoints, read_index, released_checkpoint
    from acsnet.errors import RunError
    from scripts import release

    folder, name, overrides = index_folder(), arguments.name, arguments.overrides
    if arguments.checkpoint:
        how = (arguments.recipe, overrides, arguments.license, arguments.limits, folder, arguments.before)
        difference = release.release_checkpoint(arguments.checkpoint, name, *how)
        entry = released_checkpoint(name)
        print(
            f"{folder / entry.file}: {entry.size / 1e6:.1f} MB; probabilities within {difference:.1e} of the original's"
        )
        print(f"now test it: python tools/test.py --checkpoint {name} --out results/{name}")
        print(f"and then:    python -m scripts.release --name {name} --results results/{name}")
    elif arguments.results:
        test = release.add_test(name, arguments.results, overrides, folder)
        print(f"{name} has the figures of {test.n} images; {folder / release.README_NAME}")
    elif arguments.readme:
        release.write_index(folder, read_index(folder))
    else:
        if name:
            released_checkpoint(name)
        problems = release.check_release(folder)
        if arguments.reproduce and not problems:
            problems = release.check_figures([name] if name else list_checkpoints(), overrides, folder)
        if problems:
            raise RunError("; ".join(problems))
        print(f"{len(list_checkpoints())} released checkpoints: all right")


if __name__ == "__main__":
    raise SystemExit(run(main))
