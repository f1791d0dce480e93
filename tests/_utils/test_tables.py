import csv
import io
import re

import pytest

from acsnet._utils.tables import STRICT_STYLE, Cell, Column, Row, Table, escape_latex, tables_to_csv

TABLE = Table(
    row_header="network",
    columns=[
        Column("settings", align="left"),
        Column("Dice_1"),
        Column("Dice", source="published"),
        Column("F1", source="published"),
    ],
    rows=[
        Row(
            "[net] #1_a",
            [Cell("a{b}\\c"), Cell("0.742", "0.7", "0.8", "0.74", "0.02", "b", best=True), Cell("0.7"), Cell("-")],
            letter="a",
        ),
        Row("x", [Cell("~^$"), Cell("-0.012"), Cell("< 0.001"), Cell("0.5")], remark="measured"),
    ],
    key="made_up",
    caption="Dice & more_or_less 100 %",
    notes=["50 % of |A|"],
)


def unescaped(text: str) -> str:
    """The text without escaped LaTeX characters."""
    return re.sub(r"\\[&%$#_{}\\]", "", text)


def test_text_is_aligned_and_underlined() -> None:
    table = Table.from_rows([("name", "Dice", "why"), ("a", "0.7", "so"), ("longer", "-", "")], left=["why"])
    assert table.to_text().splitlines() == [
        "name    Dice  why",
        "-----------------",
        "a        0.7  so",
        "longer     -",
    ]
    assert table.to_text(underline=False, align="left").splitlines()[1:] == ["a       0.7   so", "longer  -"]


def test_text_has_intervals_means_and_remarks() -> None:
    lines = TABLE.to_text().splitlines()
    assert "0.742b [0.7, 0.8] (0.74 ± 0.02)" in lines[2]
    assert lines[3].startswith("x, measured ")


def test_text_keeps_a_row_on_one_line() -> None:
    assert Table.from_rows([("a", "b"), ("two\nlines", "x")]).to_text().splitlines()[2] == "two lines  x"


def test_strict_markdown_escapes_every_character_with_a_meaning() -> None:
    table = Table(
        "network",
        [Column("Dice"), Column("Dice", source="published"), Column("why", align="left")],
        [
            Row("a|b", [Cell("0.7", "0.6", "0.8", "0.71", "0.02", "b c", True), Cell("0.6"), Cell("x_y")], "a"),
            Row("c", [Cell("-"), Cell("< 0.001"), Cell("[z]")], remark="published"),
        ],
    )
    assert table.to_markdown(STRICT_STYLE).splitlines() == [
        "| network | Dice | Dice (published) | why |",
        "| :-- | --: | --: | :-- |",
        r"| a\|b<sup>a</sup> | **0.7**<sup>b c</sup> [0.6, 0.8] (0.71 ± 0.02) | 0.6 | x\_y |",
        r"| c, published | - | \< 0.001 | \[z\] |",
    ]


def test_readme_markdown_escapes_the_column_separator() -> None:
    rows = [Row("x_y", [Cell("a|b *c*")], link="#x_y", is_code=True)]
    assert Table("name", [Column("about", align="left")], rows).to_markdown().splitlines() == [
        "| name | about |",
        "| --- | --- |",
        r"| [`x_y`](#x_y) | a\|b *c* |",
    ]


def test_latex_is_balanced() -> None:
    text = TABLE.to_latex() + TABLE.to_latex()
    plain = unescaped(text)
    assert plain.count("{") == plain.count("}")
    assert re.findall(r"\\begin\{(\w+)\}", text) == ["table", "tabular"] * 2
    assert re.findall(r"\\end\{(\w+)\}", text) == ["tabular", "table"] * 2
    assert plain.count("$") % 2 == 0
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 2


def test_every_latex_line_has_all_columns() -> None:
    body = TABLE.to_latex().partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    lines = [line for line in body.strip().splitlines() if line]
    assert len(lines) == 4
    for line in lines:
        assert line.endswith(r" \\")
        assert unescaped(line).count("&") == 4
    assert r"\begin{tabular}{lp{5cm}rrr}" in TABLE.to_latex()


def test_latex_names_have_no_special_characters() -> None:
    for line in unescaped(TABLE.to_latex()).splitlines():
        if not line.startswith(("%", r"\label")):
            assert not re.search(r"[%#_~^|<]", line.replace("$<$", "").replace("$|$", "")), line
    assert r"Dice \& more\_or\_less 100 \%" in TABLE.to_latex()


def test_latex_groups_published_columns() -> None:
    text = TABLE.to_latex()
    assert r" & \multicolumn{2}{c}{measured} & \multicolumn{2}{c}{published} \\" in text
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-5}" in text


def test_latex_cells() -> None:
    text = TABLE.to_latex()
    assert r"\textbf{0.742}\textsuperscript{b}" in text
    assert r"{\footnotesize [0.7, 0.8]}" in text
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
def test_escaping_for_latex(text: str, expected: str) -> None:
    assert escape_latex(text) == expected


def test_csv_has_one_line_per_cell() -> None:
    rows = [*csv.DictReader(io.StringIO(tables_to_csv([TABLE, TABLE])))]
    assert len(rows) == 2 * 2 * 4
    assert rows[:8] == rows[8:]
    best = rows[1]
    assert (best["table"], best["row"], best["column"]) == ("made_up", "[net] #1_a", "Dice_1")
    assert (best["figure"], best["low"], best["fold_deviation"], best["best"]) == ("0.742", "0.7", "0.02", "yes")
    assert [row["source"] for row in rows[:4]] == ["measured", "measured", "published", "published"]


@pytest.mark.parametrize("text", ["=1+1", "=cmd|' /C calc'!A0", "+SUM(A1)", "-A1", "@x", " =x", "-1+cmd"])
def test_csv_guards_formulas(text: str) -> None:
    (row,) = csv.DictReader(io.StringIO(Table.from_rows([("name", "why"), (text, text)]).to_csv()))
    assert (row["row"], row["figure"]) == (f"'{text}", f"'{text}")


@pytest.mark.parametrize("text", ["-0.012", "-", "-0.1, -0.02", "+3 %", "-1e-05", "a=b", "0.742 ± 0.021"])
def test_csv_leaves_numbers_as_they_are(text: str) -> None:
    (row,) = csv.DictReader(io.StringIO(Table.from_rows([("name", "value"), ("a", text)]).to_csv()))
    assert row["figure"] == text
