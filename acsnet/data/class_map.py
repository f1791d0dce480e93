"""Other names of classes: what another dataset calls them, and what the configuration does."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from acsnet._utils.naming import look_up
from acsnet.data.records import Record


def source_labels(classes: Sequence[str], class_map: Mapping[str, str]) -> list[str]:
    """The labels of the data that come out as one of ``classes``, in the classes' order.

    Args:
        classes: those of the configuration.
        class_map: ``{label of the data: class}``; a label that it does not name stays what it is.

    Raises:
        UnknownNameError: for a class that labels are mapped to and the configuration does not have.
    """
    for target in class_map.values():
        look_up("class in data.class_map", target, dict.fromkeys(classes), f"data.classes has {', '.join(classes)}")
    labels = []
    for name in classes:
        labels += [name] if name not in class_map else []
        labels += [label for label, target in class_map.items() if target == name]
    return labels


def check_labels(class_map: Mapping[str, str], present: Collection[str]) -> None:
    """Check that every label of a class map is one that the data has: what is never mapped is misspelled.

    Raises:
        UnknownNameError: with near matches, and the labels there are.
    """
    listing = f"the data has {', '.join(sorted(present))} (data.class_map=null clears the map)"
    for label in class_map:
        look_up("label in data.class_map", label, dict.fromkeys(present), listing)


def map_classes(records: Sequence[Record], class_map: Mapping[str, str]) -> list[Record]:
    """Give the records with their labels mapped."""
    return [replace(record, label=class_map.get(record.label, record.label)) for record in records]
