"""Predict images: python tools/predict.py --checkpoint FILE|NAME INPUT... [--out DIR]."""

from pathlib import Path

from acsnet.cli import ToolParser, add_checkpoint_argument, add_operating_point_argument, run, show


def main() -> None:
    """Parse the command line and predict the images."""
    parser = ToolParser(description="Predict images: writes masks, overlays and predictions.csv.")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="images, or folders of images")
    add_checkpoint_argument(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("predictions"), metavar="DIR", help="the output folder (default: predictions)"
    )
    parser.add_argument("--threshold", type=float, help="mask probability of foreground (default: the checkpoint's)")
    add_operating_point_argument(parser)
    parser.add_argument(
        "--classes",
        metavar="NAME,NAME",
        help="renormalize the probabilities over these classes, as in --classes benign,malignant",
    )
    parser.add_argument("--tta", action="store_true", help="average over the image and its mirror image")
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="also write uncertainty/, heat maps over the images: needs --tta or an ensemble",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="also write explanations/, heat maps of the evidence for the predicted class (Grad-CAM)",
    )
    arguments = parser.parse_args()
    if arguments.threshold is not None and not 0 < arguments.threshold < 1:
        parser.error(f"--threshold is {arguments.threshold}: it has to be between 0 and 1")

    from acsnet._utils.folders import claimed_folder
    from acsnet.checkpoints import open_checkpoint
    from acsnet.inference import Predictor, predict_files

    checkpoint = open_checkpoint(arguments.checkpoint)
    evaluation = checkpoint.metadata.evaluation
    if arguments.classes is not None:
        evaluation = evaluation.model_copy(update={"classes": tuple(arguments.classes.split(","))})
    if arguments.tta:
        tta = evaluation.test_time_augmentation.model_copy(update={"horizontal_flip": True})
        evaluation = evaluation.model_copy(update={"test_time_augmentation": tta})
    predictor = Predictor.from_checkpoint(checkpoint, evaluation=evaluation, operating_point=arguments.operating_point)
    if arguments.threshold is not None:
        predictor = predictor.with_threshold(arguments.threshold)
    options = {"uncertainty": arguments.uncertainty, "explain": arguments.explain}
    with claimed_folder(arguments.out, "predicting into", "--out"):
        table = predict_files(predictor, arguments.inputs, arguments.out, **options)
    show(f"{table}; pictures in the same folder")


if __name__ == "__main__":
    raise SystemExit(run(main))
