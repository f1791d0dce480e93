from acsnet.report.markdown import to_markdown
from acsnet.report.tables import Cell, Column, Row, Table


def test_a_table_with_all_that_a_cell_can_have() -> None:
    table = Table(
        "key",
        "Dice *of* all",
        "network",
        [Column("Dice"), Column("Dice", published=True), Column("why", words=True)],
        [
            Row("a|b", [Cell("0.7", "0.6", "0.8", "0.71", "0.02", "b c", True), Cell("0.6"), Cell("x_y")], "a"),
            Row("c", [Cell("-"), Cell("< 0.001"), Cell("[z]")], remark="published"),
        ],
        ["a note"],
        ["how to read it"],
    )
    assert to_markdown([table]).splitlines() == [
        r"### Dice \*of\* all",
        "",
        "| network | Dice | Dice (published) | why |",
        "| :-- | --: | --: | :-- |",
        r"| a\|b<sup>a</sup> | **0.7**<sup>b c</sup> [0.6, 0.8] (0.71 ± 0.02) | 0.6 | x\_y |",
        r"| c, published | - | \< 0.001 | \[z\] |",
        "",
        "- how to read it",
        "- a note",
    ]
