"""Data sets, verification, folds, augmentation, cache and phantoms."""

from acsnet.data.busi import read_busi
from acsnet.data.cache import ImageCache
from acsnet.data.dataset import CachedDataset, Sample, SeededSampler, build_loader
from acsnet.data.folds import Split, split_records
from acsnet.data.oversampling import oversample
from acsnet.data.phantom import Phantom, make_phantom, write_phantoms
from acsnet.data.records import Record, dataset_hash, read_record_table, write_record_table
from acsnet.data.source import load_records
from acsnet.data.transforms import Augmentation
from acsnet.data.verify import verify_records

__all__ = [
    "Augmentation",
    "CachedDataset",
    "ImageCache",
    "Phantom",
    "Record",
    "Sample",
    "SeededSampler",
    "Split",
    "build_loader",
    "dataset_hash",
    "load_records",
    "make_phantom",
    "oversample",
    "read_busi",
    "read_record_table",
    "split_records",
    "verify_records",
    "write_phantoms",
    "write_record_table",
]
