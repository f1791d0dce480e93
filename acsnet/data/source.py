"""The records that a configuration asks for."""

import logging
from collections import Counter

from acsnet.config import DataConfig
from acsnet.data.busi import scan_busi
from acsnet.data.records import Record, read_record_table
from acsnet.data.verify import verify_records
from acsnet.errors import DataError

logger = logging.getLogger(__name__)


def load_records(data: DataConfig, progress: bool = True) -> list[Record]:
    """Read and verify the records of the configured classes, in any of the forms a configuration can name.

    Raises:
        DataError: where neither ``data.root`` nor ``data.records`` is set, and for whatever is wrong with the data.
    """
    problems: list[str] = []
    if data.records is not None:
        every = read_record_table(data.records)
        records = [record for record in every if record.label in data.classes]
        left_out = Counter(record.label for record in every if record.label not in data.classes)
        if left_out:
            logger.info("left out of %s, not in data.classes: %s", data.records, dict(left_out))
        if not records:
            raise DataError(f"{data.records} has no records of the classes {', '.join(data.classes)}")
    elif data.root is not None:
        records, problems = scan_busi(data.root, data.classes)
    else:
        raise DataError("no data is named: --set data.root=FOLDER (BUSI's layout) or --set data.records=TABLE.csv")
    return verify_records(records, progress, problems)
