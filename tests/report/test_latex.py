import re

import pytest

from acsnet.report.latex import escape, to_latex
from acsnet.report.tables import Cell, Column, Row, Table

TABLE = Table(
    key="made_up",
    caption="Dice & more_or_less 100 %",
    head="network",
    columns=[
        Column("settings", words=True),
        Column("Dice_1"),
        Column("Dice", published=True),
        Column("F1", published=True),
    ],
    rows=[
        Row(
            "[net] #1_a",
            [Cell("a{b}\\c"), Cell("0.742", "0.7", "0.8", "0.74", "0.02", "b", best=True), Cell("0.7"), Cell("-")],
            letter="a",
        ),
        Row("x", [Cell("~^$"), Cell("-0.012"), Cell("< 0.001"), Cell("0.5")], remark="measured"),
    ],
    notes=["50 % of |A|"],
)


def unescaped(text: str) -> str:
    """The text without what LaTeX takes for a character."""
    return re.sub(r"\\[&%$#_{}\\]", "", text)


def test_the_table_is_balanced() -> None:
    text = to_latex([TABLE, TABLE])
    plain = unescaped(text)
    assert plain.count("{") == plain.count("}")
    assert re.findall(r"\\begin\{(\w+)\}", text) == ["table", "tabular"] * 2
    assert re.findall(r"\\end\{(\w+)\}", text) == ["tabular", "table"] * 2
    assert plain.count("$") % 2 == 0
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 2


def test_every_line_has_all_columns() -> None:
    body = to_latex([TABLE]).partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    lines = [line for line in body.strip().splitlines() if line]
    assert len(lines) == 4
    for line in lines:
        assert line.endswith(r" \\")
        assert unescaped(line).count("&") == 4
    assert r"\begin{tabular}{lp{5cm}rrr}" in to_latex([TABLE])


def test_nothing_special_is_left_in_names() -> None:
    plain = unescaped(to_latex([TABLE]))
    for line in plain.splitlines():
        if not line.startswith(("%", r"\label")):
            assert not re.search(r"[%#_~^|<]", line.replace("$<$", "").replace("$|$", "")), line
    assert r"Dice \& more\_or\_less 100 \%" in to_latex([TABLE])


def test_published_columns_are_said_to_be() -> None:
    text = to_latex([TABLE])
    assert r" & \multicolumn{2}{c}{measured} & \multicolumn{2}{c}{published} \\" in text
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-5}" in text


def test_cells() -> None:
    text = to_latex([TABLE])
    assert r"\textbf{0.742}\textsuperscript{b}" in text
    assert r"{\footnotesize {[}0.7, 0.8{]}}" in text or r"{\footnotesize [0.7, 0.8]}" in text
    assert r"{\footnotesize 0.74 $\pm$ 0.02}" in text
    assert "x, measured & " in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unet_resnet50", r"unet\_resnet50"),
        ("-0.012", "$-$0.012"),
        ("-0.1, -0.2", "$-$0.1, $-$0.2"),
        ("Aumente-Maestro 2025-26", "Aumente-Maestro 2025-26"),
        ("a - b", "a - b"),
        ("\\", r"\textbackslash{}"),
        ("[x]", "{[}x{]}"),
        ("two\nlines", "two lines"),
    ],
)
def test_escaping(text: str, expected: str) -> None:
    assert escape(text) == expected
