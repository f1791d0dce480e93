"""Export a checkpoint: python tools/export.py --checkpoint FILE|NAME --format onnx|torch [--out FILE]."""

from pathlib import Path

from acsnet.cli import ToolParser, add_checkpoint_argument, run, show


def main() -> None:
    """Parse the command line, export the checkpoint and print the result of the check."""
    parser = ToolParser(description="Export a checkpoint to a file that runs without acsnet.")
    add_checkpoint_argument(parser)
    parser.add_argument(
        "--format", required=True, metavar="onnx|torch", help="ONNX, or a program of torch.export (.pt2)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the file to write (default: next to the checkpoint, or NAME in the working folder)",
    )
    parser.add_argument(
        "--images",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="images, or folders of images, on which the file is compared with the network (default: phantoms)",
    )
    arguments = parser.parse_args()

    from acsnet.export import export_checkpoint

    show(export_checkpoint(arguments.checkpoint, arguments.format, arguments.out, arguments.images).summary())


if __name__ == "__main__":
    raise SystemExit(run(main))
