"""The diagram of a network as SVG: one box per stage with its measured shape, arrows from its inputs.

Colors are those of the site's palette where it is inlined, and those of a light page elsewhere.
"""

from collections.abc import Iterator, Mapping
from html import escape

from scripts.networks.stages import Network, Shape, Stage

_COLUMN, _LEVEL = 112, 66
_WIDTH, _HEIGHT = 92, 38
_MARGIN, _ARC_MARGIN = 14, 34
_FILLS = {
    "image": ("#eceff1", "#90a4ae"),
    "encoder": ("#e0f2f1", "#26a69a"),
    "extra": ("#fff3e0", "#fb8c00"),
    "decoder": ("#e3f2fd", "#42a5f5"),
    "mask": ("#e8f5e9", "#66bb6a"),
    "class": ("#f3e5f5", "#ab47bc"),
}
# Text on a filled box is dark on every page.
_STYLE = (
    ".diagram text{font:12px sans-serif;text-anchor:middle;fill:#102027}.diagram .n{font-weight:bold}"
    ".diagram .s{font-size:10.5px}.diagram path{fill:none;stroke-width:1.4}"
)


def draw(network: Network, shapes: Mapping[str, Shape]) -> str:
    """Return the diagram.

    Args:
        network: the network.
        shapes: its measured shapes by the names of stages.
    """
    stages = {stage.name: stage for stage in network.stages}
    left = min(stage.column for stage in network.stages)
    arcs = [stage for stage in network.stages for name in stage.inputs if _is_arc(stages[name], stage, network)]
    top = _ARC_MARGIN if any(stage.level == 0 for stage in arcs) else _MARGIN
    places = {name: _center(stage, left, top) for name, stage in stages.items()}
    width = max(x for x, _ in places.values()) + _WIDTH / 2 + _MARGIN
    height = max(y for _, y in places.values()) + _HEIGHT / 2 + _MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="diagram" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="Diagram of {escape(network.title)}">',
        f"<style>{_STYLE}</style>",
        f"<defs>{''.join(_markers())}</defs>",
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="6" fill="var(--md-code-bg-color, #fafafa)"/>',
    ]
    for stage in network.stages:
        lines += [_arrow(stage, stages[name], network, places) for name in stage.inputs]
    lines += [_box(stage, shapes[stage.name], places[stage.name]) for stage in network.stages]
    return "\n".join([*lines, "</svg>", ""])


def _center(stage: Stage, left: float, top: float) -> tuple[float, float]:
    x = _MARGIN + _WIDTH / 2 + (stage.column - left) * _COLUMN
    return x, top + _HEIGHT / 2 + stage.level * _LEVEL


def _markers() -> Iterator[str]:
    for kind, (_, color) in _FILLS.items():
        yield (
            f'<marker id="to-{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" style="fill:{color};stroke:none"/></marker>'
        )


def _arrow(stage: Stage, source: Stage, network: Network, places: Mapping[str, tuple[float, float]]) -> str:
    (x0, y0), (x1, y1) = places[source.name], places[stage.name]
    color = _FILLS[stage.kind][1]
    if _is_arc(source, stage, network):
        # Above the boxes in between.
        top, bend = y0 - _HEIGHT / 2, min(24, 8 + 0.035 * abs(x1 - x0))
        start, end = x0 + _WIDTH * 0.3, x1 - _WIDTH * 0.3
        path = f"M{start:.0f} {top:.0f}Q{(start + end) / 2:.0f} {top - 2 * bend:.0f} {end:.0f} {top:.0f}"
    else:
        start_x, start_y = _edge((x0, y0), (x1, y1))
        end_x, end_y = _edge((x1, y1), (x0, y0))
        path = f"M{start_x:.0f} {start_y:.0f}L{end_x:.0f} {end_y:.0f}"
    return f'<path d="{path}" stroke="{color}" marker-end="url(#to-{stage.kind})"/>'


def _is_arc(source: Stage, target: Stage, network: Network) -> bool:
    if source.level != target.level:
        return False
    first, last = sorted((source.column, target.column))
    return any(other.level == source.level and first < other.column < last for other in network.stages)


def _edge(inside: tuple[float, float], outside: tuple[float, float]) -> tuple[float, float]:
    """Return where the line from the center of a box to a point leaves the box."""
    dx, dy = outside[0] - inside[0], outside[1] - inside[1]
    scale = min(_WIDTH / 2 / abs(dx) if dx else 9, _HEIGHT / 2 / abs(dy) if dy else 9)
    return inside[0] + dx * scale, inside[1] + dy * scale


def _box(stage: Stage, shape: Shape, place: tuple[float, float]) -> str:
    fill, color = _FILLS[stage.kind]
    x, y = place
    corner = f'x="{x - _WIDTH / 2:.0f}" y="{y - _HEIGHT / 2:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="5"'
    return (
        f'<g><title>{escape(stage.what)}</title><rect {corner} fill="{fill}" stroke="{color}"/>'
        f'<text class="n" x="{x:.0f}" y="{y - 3:.0f}">{escape(stage.name)}</text>'
        f'<text class="s" x="{x:.0f}" y="{y + 12:.0f}">{shape.text}</text></g>'
    )
