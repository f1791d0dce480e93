"""Data: datasets, records, splits, augmentation and cached images."""

from acsnet.data.cache import ImageCache
from acsnet.data.conversion import AnyImage, as_rgb
from acsnet.data.dataset import CachedDataset, Sample, SeededSampler, build_loader, oversample
from acsnet.data.datasets import DatasetEntry, dataset_entry, list_datasets, read_dataset, register_dataset
from acsnet.data.datasets.busi import read_busi
from acsnet.data.folds import Split, describe_split, split_records
from acsnet.data.framing import Frame, Framing
from acsnet.data.image_list import read_image_list
from acsnet.data.records import Record, dataset_hash, mask_hash, read_record_table, write_record_table
from acsnet.data.scan_region import Box, find_scan_region
from acsnet.data.source import CachedRecords, list_records, load_cached_records, load_records, split_data
from acsnet.data.split_list import read_split_list, write_split_list
from acsnet.data.transforms import Augmentation
from acsnet.data.verify import verify_records

__all__ = [
    "AnyImage",
    "Augmentation",
    "Box",
    "CachedDataset",
    "CachedRecords",
    "DatasetEntry",
    "Frame",
    "Framing",
    "ImageCache",
    "Record",
    "Sample",
    "SeededSampler",
    "Split",
    "as_rgb",
    "build_loader",
    "dataset_entry",
    "dataset_hash",
    "describe_split",
    "find_scan_region",
    "list_datasets",
    "list_records",
    "load_cached_records",
    "load_records",
    "mask_hash",
    "oversample",
    "read_busi",
    "read_dataset",
    "read_image_list",
    "read_record_table",
    "read_split_list",
    "register_dataset",
    "split_data",
    "split_records",
    "verify_records",
    "write_record_table",
    "write_split_list",
]
