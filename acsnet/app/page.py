"""The layout of the page, and which function answers which event. What a result is, the other modules know."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from acsnet._utils.html import render
from acsnet.app.analysis import Analysis, Finding, analyze, decide
from acsnet.app.batch import analyze_files, explain
from acsnet.app.exports import write_mask, write_overlay, write_page, write_table
from acsnet.app.limits import MAX_FILE_BYTES, MAX_FILES
from acsnet.app.networks import Network, Networks
from acsnet.app.pictures import SHORTEST_SIDE, draw_explanation, draw_outline, draw_uncertainty, shrink
from acsnet.app.tables import results_table, summary
from acsnet.app.texts import NOTICE
from acsnet.data.spacing import Spacing, parse_spacing
from acsnet.errors import AcsnetError

_TITLE = "acsnet: breast ultrasound"
# Uploaded files and results are removed after this time, which is checked at this interval.
_KEPT_SECONDS = 6 * 3600
_CHECKED_SECONDS = 600
_LIMITS = f"up to {MAX_FILES} files of {MAX_FILE_BYTES // 1024**2} MB"
_SPACING = "of the DICOM file; or 0.08, or vertical,horizontal"
_HINT = f"PNG, JPEG, BMP, TIFF, DICOM, MP4 or AVI; {_LIMITS}. Ctrl+V pastes one."

_DOWNLOAD = """(file) => {
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}"""


@dataclass(frozen=True)
class Session:
    """The results that one visitor of the page has.

    Attributes:
        analyzed: the analyzed images.
        shown: the index of the image that is shown.
        problems: one sentence per file that could not be analyzed with them.
    """

    analyzed: tuple[Analysis, ...] = ()
    shown: int = 0
    problems: tuple[str, ...] = ()

    @property
    def analysis(self) -> Analysis:
        """The image that is shown."""
        return self.analyzed[self.shown]

    @property
    def network(self) -> Network:
        """The network of all images."""
        return self.analysis.network


class Page:
    """The page and its events.

    Args:
        networks: the networks to choose from.
        examples: example images.
        folder: a folder for files to download.

    Attributes:
        blocks: the page for Gradio.
    """

    def __init__(self, networks: Networks, examples: Sequence[Path], folder: Path) -> None:
        self._networks = networks
        self._examples = [*examples]
        self._folder = folder
        with gr.Blocks(
            title=_TITLE, analytics_enabled=False, delete_cache=(_CHECKED_SECONDS, _KEPT_SECONDS)
        ) as self.blocks:
            self._lay_out()
            self._connect()

    def _lay_out(self) -> None:
        self.session = gr.State(Session(), time_to_live=_KEPT_SECONDS)
        gr.HTML(
            f"<h1>acsnet</h1><p>What a network sees in a breast ultrasound. <strong>{NOTICE}</strong></p>",
            elem_id="title",
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=300, elem_id="inputs"):
                self._lay_out_inputs()
            with gr.Column(scale=3, min_width=320, elem_id="outputs"):
                self.problems = gr.HTML(visible=False, elem_id="problems")
                self.empty = gr.HTML(render("app_empty.html"), elem_id="empty")
                with gr.Column(visible=False, elem_id="results") as self.results:
                    self._lay_out_results()

    def _lay_out_inputs(self) -> None:
        self.files = gr.File(label="Images", file_count="multiple", height=150, elem_id="images")
        gr.HTML(f"<p>{_HINT}</p>", elem_classes="hint")
        self.network = gr.Dropdown(
            [*self._networks.names], value=self._networks.names[0], label="Network", elem_id="network"
        )
        self.spacing = gr.Textbox(
            label="Millimeters per pixel (optional)", placeholder=_SPACING, max_lines=1, elem_id="spacing"
        )
        self.start = gr.Button("Analyze", variant="primary", elem_id="analyze")
        self.gallery = gr.Gallery(
            [str(path) for path in self._examples],
            label=f"Phantoms: {', '.join(path.stem.split()[0] for path in self._examples)}",
            columns=3,
            height=150,
            allow_preview=False,
            interactive=False,
            object_fit="cover",
            buttons=[],
            elem_id="examples",
        )

    def _lay_out_results(self) -> None:
        self.table = gr.HTML(elem_id="table")
        with gr.Row():
            self.shown = gr.Dropdown([], label="Image shown", elem_id="shown", visible=False)
            self.frame = gr.Slider(0, 1, step=1, label="Frame (from 0)", visible=False, elem_id="frame", buttons=[])
        with gr.Row():
            self.threshold = gr.Slider(
                0.01, 0.99, 0.5, step=0.01, label="Mask threshold", elem_id="threshold", buttons=[]
            )
            self.choice = gr.Dropdown([], label="Class decided by", elem_id="choice", visible=False)
        with gr.Row():
            self.outline = _picture("Outline of the mask", "outline")
            self.explanation = _picture("Evidence for the class (Grad-CAM)", "explanation")
        with gr.Row():
            self.uncertainty = _picture("Uncertainty of the mask", "uncertainty")
            self.image = _picture("The image", "image")
        self.summary = gr.HTML(elem_id="summary")
        gr.HTML(f"<p>{NOTICE}</p>", elem_classes="hint")
        with gr.Row(elem_id="downloads"):
            self.downloads = {
                kind: gr.Button(label, elem_id=f"get-{kind}", min_width=120, size="sm")
                for kind, label in (
                    ("mask", "Mask (PNG)"),
                    ("overlay", "Overlay (PNG)"),
                    ("page", "Page (HTML)"),
                    ("table", "Table of all (CSV)"),
                )
            }
        # Its value is written when it is asked for, and is then downloaded by a script.
        self.download = gr.File(visible=False)

    def _connect(self) -> None:
        views = [
            self.problems,
            self.empty,
            self.results,
            self.table,
            self.shown,
            self.frame,
            self.threshold,
            self.choice,
            self.outline,
            self.explanation,
            self.uncertainty,
            self.image,
            self.summary,
        ]
        settings = [self.session, self.threshold, self.choice]
        changes: dict[str, Any] = {"outputs": [self.session, *views], "api_visibility": "private"}
        # A click while the last results are still on their way is not lost.
        chosen = [self.session, self.files, self.network, self.spacing]
        self.start.click(self._analyze, chosen, **changes, trigger_mode="always_last")
        self.gallery.select(self._analyze_example, [self.session, self.network, self.spacing], **changes)
        latest = {**changes, "trigger_mode": "always_last", "show_progress": "minimal"}
        self.shown.input(self._show_image, [*settings, self.shown], **latest)
        self.frame.input(self._show_frame, [*settings, self.frame], **latest)
        self.threshold.input(self._change_threshold, settings, **latest)
        self.choice.input(self._change_choice, settings, **latest)
        writers: dict[str, Callable[[Path, list[Finding], int], Path]] = {
            "mask": lambda folder, findings, shown: write_mask(folder, findings[shown]),
            "overlay": lambda folder, findings, shown: write_overlay(folder, findings[shown]),
            "page": lambda folder, findings, shown: write_page(folder, findings[shown]),
            "table": lambda folder, findings, shown: write_table(folder, findings),
        }
        for kind, button in self.downloads.items():
            written = button.click(self._write(writers[kind]), settings, self.download, api_visibility="private")
            written.success(None, self.download, None, js=_DOWNLOAD)

    def _analyze(
        self,
        session: Session,
        files: list[str] | None,
        name: str,
        spacing: str,
        progress: Any = gr.Progress(),  # noqa: B008 - Gradio looks for it there
    ) -> dict[Any, Any]:
        """Analyze the files of the page; if none can be read, the earlier results stay."""

        def report(done: int, total: int) -> None:
            progress((done, total), desc="analyzing", unit="images")

        try:
            network = self._networks.load(name)
            paths = [Path(file) for file in files or []]
            analyzed, problems = analyze_files(network, paths, report, _read_spacing(spacing))
        except AcsnetError as error:
            return {self.session: session, **self._show_problems([str(error)])}
        if not analyzed:
            return {self.session: session, **self._show_problems(problems)}
        return self._start_view(Session(analyzed, problems=problems))

    def _analyze_example(self, session: Session, name: str, spacing: str, event: gr.SelectData) -> dict[Any, Any]:
        return self._analyze(session, [str(self._examples[event.index])], name, spacing, lambda *_, **__: None)

    def _start_view(self, session: Session) -> dict[Any, Any]:
        """Return all of the page for new results, with the settings of the network."""
        network = session.network
        choice, threshold = network.default_choice, network.threshold(network.default_choice)
        names = [(analysis.name, index) for index, analysis in enumerate(session.analyzed)]
        return {
            **self._view(session, threshold, choice),
            **self._show_problems(session.problems, has_results=True),
            self.empty: gr.update(visible=False),
            self.results: gr.update(visible=True),
            self.shown: gr.update(choices=names, value=0, visible=len(names) > 1),
            self.threshold: gr.update(value=threshold, visible="segmentation" in network.predictor.tasks),
            self.choice: gr.update(choices=[*network.choices], value=choice, visible=len(network.choices) > 1),
        }

    def _view(self, session: Session, threshold: float, choice: str) -> dict[Any, Any]:
        """Return what depends on the image that is shown and on the settings."""
        findings = _decide_all(session, threshold, choice)
        finding = findings[session.shown]
        analysis = finding.analysis
        image = analysis.read_pixels()
        explained = f"Evidence for {analysis.explained} (Grad-CAM)"
        return {
            self.session: session,
            self.table: results_table(findings, session.shown),
            self.frame: gr.update(
                maximum=max(1, analysis.frames - 1), value=analysis.frame, visible=analysis.frames > 1
            ),
            self.outline: _update(draw_outline(image, finding, SHORTEST_SIDE)),
            self.explanation: _update(draw_explanation(image, finding), label=explained),
            self.uncertainty: _update(draw_uncertainty(image, finding)),
            self.image: _update(image),
            self.summary: summary(finding),
        }

    def _show_image(self, session: Session, threshold: float, choice: str, shown: int) -> dict[Any, Any]:
        return self._try_view(replace(session, shown=shown), session, threshold, choice)

    def _change_threshold(self, session: Session, threshold: float, choice: str) -> dict[Any, Any]:
        return self._try_view(session, session, threshold, choice)

    def _change_choice(self, session: Session, threshold: float, choice: str) -> dict[Any, Any]:
        """Decide otherwise, with the mask threshold that belongs to it."""
        threshold = session.network.threshold(choice)
        return {**self._try_view(session, session, threshold, choice), self.threshold: threshold}

    def _show_frame(self, session: Session, threshold: float, choice: str, frame: float) -> dict[Any, Any]:
        """Run the network on another frame of the image that is shown."""
        old = session.analysis
        try:
            new = analyze(session.network, old.path, old.name, int(frame), old.spacing)
        except AcsnetError as error:
            return {self.session: session, **self._show_problems([explain(error, old.path, old.name)])}
        analyzed = tuple(new if analysis is old else analysis for analysis in session.analyzed)
        return self._try_view(replace(session, analyzed=analyzed), session, threshold, choice)

    def _try_view(self, new: Session, old: Session, threshold: float, choice: str) -> dict[Any, Any]:
        """Return the page for a session, or a sentence and the old one if the file of its image was removed."""
        try:
            return {**self._view(new, threshold, choice), **self._show_problems(new.problems, has_results=True)}
        except AcsnetError as error:
            sentence = explain(error, new.analysis.path, new.analysis.name)
            return {self.session: old, **self._show_problems([sentence])}

    def _show_problems(self, problems: Sequence[str], has_results: bool = False) -> dict[Any, Any]:
        text = render("app_problems.html", problems=problems, has_results=has_results)
        return {self.problems: gr.update(value=text, visible=bool(problems))}

    def _write(self, writer: Callable[[Path, list[Finding], int], Path]) -> Callable[..., str]:
        """Return the function that writes one kind of file at the settings of the page."""

        def write(session: Session, threshold: float, choice: str) -> str:
            folder = Path(tempfile.mkdtemp(dir=self._folder))
            try:
                return str(writer(folder, _decide_all(session, threshold, choice), session.shown))
            except AcsnetError as error:
                sentence = explain(error, session.analysis.path, session.analysis.name)
                raise gr.Error(sentence, print_exception=False) from error

        return write


def _read_spacing(text: str) -> Spacing | None:
    """Return the spacing of the field, or None if it is empty."""
    return parse_spacing(text, separator=",") if text.strip() else None


def _decide_all(session: Session, threshold: float, choice: str) -> list[Finding]:
    return [decide(analysis, threshold, choice) for analysis in session.analyzed]


def _picture(label: str, name: str) -> gr.Image:
    return gr.Image(
        label=label, elem_id=name, interactive=False, format="png", height=330, buttons=["fullscreen"], min_width=260
    )


def _update(picture: Any, **others: Any) -> Any:
    return gr.update(value=None if picture is None else shrink(picture), visible=picture is not None, **others)
