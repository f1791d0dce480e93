"""Published datasets, one file per dataset; to add one, write a file and import it here."""

from acsnet.data.datasets import breast, busbra, busi, busuclm, folders, udiat
from acsnet.data.datasets.entry import (
    DatasetEntry,
    RemoteFile,
    dataset_entry,
    list_datasets,
    read_dataset,
    register_dataset,
)

__all__ = [
    "DatasetEntry",
    "RemoteFile",
    "breast",
    "busbra",
    "busi",
    "busuclm",
    "dataset_entry",
    "folders",
    "list_datasets",
    "read_dataset",
    "register_dataset",
    "udiat",
]
