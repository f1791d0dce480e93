"""Release checkpoints in two steps, and check what is released: python -m scripts.release --help."""

import argparse
from pathlib import Path

from acsnet.cli import run
from scripts.arguments import add_override_argument

_STEPS = """A release takes these steps; check must pass after them:
  python -m scripts.release promote CHECKPOINT --name NAME --recipe CONFIG --license TEXT [--set ...]
  acsnet test --checkpoint NAME [--set ...] --out DIR
  python -m scripts.release add-results NAME DIR [--set data.root=... or data.records=...]
  python -m scripts.release add-crossval NAME DIR        # optional: DIR of acsnet crossval with the same recipe
  python -m scripts.release check [NAME] [--reproduce [--set data.root=...]]"""


def main() -> None:
    """Parse the command line and run the chosen command."""
    arguments = _build_parser().parse_args()
    arguments.function(arguments)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.release",
        description="Release checkpoints, and check released ones.",
        epilog=_STEPS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    promote = commands.add_parser("promote", help="write the float16 file of a checkpoint and its entry in the index")
    promote.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="the checkpoint of a training")
    promote.add_argument("--name", required=True, metavar="NAME", help="the name of the released checkpoint")
    promote.add_argument(
        "--recipe", required=True, type=Path, metavar="CONFIG", help="the configuration of the training"
    )
    promote.add_argument("--license", required=True, metavar="TEXT", help="the license of the weights, e.g. CC-BY-4.0")
    promote.add_argument("--limits", nargs="+", default=[], metavar="TEXT", help="known limitations, a sentence each")
    promote.add_argument(
        "--before",
        nargs="+",
        default=[],
        metavar="COMMAND",
        help="the commands that made the initial weights or the other members, such as 'acsnet train CONFIG'",
    )
    promote.add_argument(
        "--after",
        nargs="+",
        default=[],
        metavar="COMMAND",
        help="the commands that combined the members, such as 'acsnet ensemble CHECKPOINT... --out FILE'",
    )
    add_override_argument(promote, "the overrides of the training, such as data.root=FOLDER")
    promote.set_defaults(function=_promote)

    add_results = commands.add_parser("add-results", help="add the results of a test of the released file")
    add_results.add_argument("name", metavar="NAME", help="a released checkpoint")
    add_results.add_argument("results", type=Path, metavar="DIR", help="the folder of acsnet test --checkpoint NAME")
    add_override_argument(add_results, "the data of the test, such as data.root=FOLDER")
    add_results.set_defaults(function=_add_results)

    add_crossval = commands.add_parser("add-crossval", help="add the cross-validation of the recipe")
    add_crossval.add_argument("name", metavar="NAME", help="a released checkpoint")
    add_crossval.add_argument(
        "results", type=Path, metavar="DIR", help="the folder of the configuration in that of acsnet crossval"
    )
    add_crossval.set_defaults(function=_add_crossval)

    readme = commands.add_parser(
        "readme", help="rewrite checkpoints/README.md and the tables of the main README and docs/benchmarks/accuracy.md"
    )
    readme.set_defaults(function=_write_readme)

    check = commands.add_parser("check", help="fail if files, sizes, READMEs or results are wrong")
    check.add_argument("name", nargs="?", metavar="NAME", help="reproduce this checkpoint only")
    check.add_argument("--reproduce", action="store_true", help="test the released checkpoints again")
    add_override_argument(check, "the data of the tests, such as data.root=FOLDER")
    check.set_defaults(function=_check)
    return parser


def _promote(arguments: argparse.Namespace) -> None:
    from acsnet.checkpoints import index_folder, released_checkpoint
    from scripts.release import release_checkpoint

    folder, name = index_folder(), arguments.name
    difference = release_checkpoint(
        arguments.checkpoint,
        name,
        arguments.recipe,
        arguments.overrides,
        arguments.license,
        arguments.limits,
        folder,
        arguments.before,
        arguments.after,
    )
    entry = released_checkpoint(name)
    print(f"{folder / entry.file}: {entry.size / 1e6:.1f} MB; probabilities within {difference:.1e} of the original's")
    print(f"now test it: acsnet test --checkpoint {name} --out results/{name}")
    print(f"and then:    python -m scripts.release add-results {name} results/{name}")


def _add_results(arguments: argparse.Namespace) -> None:
    from acsnet.checkpoints import index_folder
    from scripts.release import README_NAME, add_test

    folder = index_folder()
    test = add_test(arguments.name, arguments.results, arguments.overrides, folder)
    print(f"added the results of {arguments.name} on {test.n} images; see {folder / README_NAME}")


def _add_crossval(arguments: argparse.Namespace) -> None:
    from acsnet.checkpoints import index_folder
    from scripts.release import README_NAME, add_crossval

    folder = index_folder()
    crossval = add_crossval(arguments.name, arguments.results, folder)
    print(f"added {crossval.folds} folds with {crossval.n} images; see {folder / README_NAME}")


def _write_readme(arguments: argparse.Namespace) -> None:
    from acsnet.checkpoints import index_folder, read_index
    from scripts.release import write_index

    write_index(index_folder(), read_index(index_folder()))


def _check(arguments: argparse.Namespace) -> None:
    from acsnet.checkpoints import index_folder, list_checkpoints, released_checkpoint
    from acsnet.errors import RunError
    from scripts.release import check_release, reproduce_results

    folder, name = index_folder(), arguments.name
    if name:
        released_checkpoint(name)
    problems = check_release(folder)
    if arguments.reproduce and not problems:
        problems = reproduce_results([name] if name else list_checkpoints(), arguments.overrides, folder)
    if problems:
        raise RunError("; ".join(problems))
    print(f"{len(list_checkpoints())} released checkpoints: no problems found")


if __name__ == "__main__":
    raise SystemExit(run(main))
