"""Make a record table: python tools/curate.py ROOT [--dataset NAME] --out DIR."""

import argparse
from pathlib import Path

from acsnet.cli import run


def main() -> None:
    """Parse the command line, verify every file and write the table."""
    parser = argparse.ArgumentParser(description="Verify a data set, group identical images, write records.csv.")
    parser.add_argument("root", type=Path, metavar="ROOT", help="a folder in a published layout, or a record table")
    parser.add_argument("--dataset", default="busi", metavar="NAME", help="whose layout ROOT has (default: busi)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write records.csv")
    arguments = parser.parse_args()

    from acsnet.config import DataConfig
    from acsnet.data import load_records, write_record_table

    is_table = arguments.root.suffix.lower() == ".csv"
    data = DataConfig(records=(arguments.root,)) if is_table else DataConfig(root=arguments.root)
    records = load_records(data.model_copy(update={"dataset": arguments.dataset}))
    write_record_table(arguments.out / "records.csv", records)
    groups = len({record.group for record in records})
    print(f"{arguments.out}/records.csv: {len(records)} images in {groups} groups of identical pixels")


if __name__ == "__main__":
    raise SystemExit(run(main))
