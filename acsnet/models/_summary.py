"""The zoo as a table: name, publication, size and cost of each network.

Parameters are counted for three classes and three input channels. GFLOPs are those of a forward pass of one 256x256
image through both tasks; a multiplication and its addition count as two. They include convolutions, matrix products and
attention, but not normalizations, activations, pooling, resizing, and the gather of a deformable convolution (an
``embedding_bag``; its offset convolutions and its matrix product are included). Networks are built on torch's meta
device, without memory for their weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from acsnet._utils.naming import look_up
from acsnet._utils.tables import Align, Cell, Column, Row, Table
from acsnet.models._registry import create_model, list_models, model_entry

# The columns after the name, with their alignment.
COLUMNS: dict[str, Align] = {
    "publication": "left",
    "parameters (M, K=3)": "right",
    "GFLOPs at 256x256": "right",
    "what it adds": "left",
}
_SIZE = (256, 256)


@dataclass(frozen=True)
class ModelSummary:
    """One row of the table.

    Attributes:
        name: see :class:`~acsnet.models.ModelEntry`.
        publication: see :class:`~acsnet.models.ModelEntry`.
        adds: see :class:`~acsnet.models.ModelEntry`.
        parameters: number of parameters.
        flops: floating-point operations of a forward pass, as described in the module.
    """

    name: str
    publication: str
    adds: str
    parameters: int
    flops: int

    def cells(self) -> tuple[str, ...]:
        """Return the name and the cells in the order of ``COLUMNS``."""
        return self.name, self.publication, f"{self.parameters / 1e6:.2f}", f"{self.flops / 1e9:.1f}", self.adds


def select_models(patterns: Sequence[str]) -> list[str]:
    """Return the sorted names that match at least one wildcard pattern, or all names without patterns.

    Raises:
        UnknownNameError: if a pattern matches no name, with near matches.
    """
    chosen: set[str] = set()
    for pattern in patterns or ["*"]:
        names = list_models(pattern)
        if not names:
            look_up("network", pattern, dict.fromkeys(list_models()), "acsnet models lists all")
        chosen.update(names)
    return sorted(chosen)


def summarize(name: str) -> ModelSummary:
    """Build a network on the meta device and count its parameters and operations.

    Raises:
        UnknownNameError: if the name is unknown; the message has near matches.
    """
    entry = model_entry(name)
    with torch.device("meta"):
        model = create_model(name).eval()
        images = torch.empty(1, 3, *_SIZE)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return ModelSummary(name, entry.publication, entry.adds, parameters, counter.get_total_flops())


def plain_table(summaries: Sequence[ModelSummary]) -> str:
    """Return the table as aligned text, for a terminal."""
    return _table(summaries).to_text(underline=False)


def markdown_table(summaries: Sequence[ModelSummary]) -> str:
    """Return the table in Markdown."""
    return _table(summaries).to_markdown()


def _table(summaries: Sequence[ModelSummary]) -> Table:
    rows = []
    for summary in summaries:
        name, *cells = summary.cells()
        rows.append(Row(name, [*map(Cell, cells)], is_code=True))
    columns = [Column(title, align=align) for title, align in COLUMNS.items()]
    return Table("name", columns, rows)
