"""Class maps: the labels of a dataset translated to the classes of the configuration."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from acsnet._utils.naming import look_up
from acsnet.data.records import Record


def source_labels(classes: Sequence[str], class_map: Mapping[str, str]) -> list[str]:
    """Return the labels of the data that map to one of ``classes``, in the order of the classes.

    Args:
        classes: Classes of the configuration.
        class_map: ``{label of the data: class}``; other labels are unchanged.

    Raises:
        UnknownNameError: If a label is mapped to a class that the configuration does not have.
    """
    for target in class_map.values():
        look_up("class in data.class_map", target, dict.fromkeys(classes), f"data.classes has {', '.join(classes)}")
    labels = []
    for name in classes:
        labels += [name] if name not in class_map else []
        labels += [label for label, target in class_map.items() if target == name]
    return labels


def check_labels(class_map: Mapping[str, str], present: Collection[str]) -> None:
    """Check that the data has every label of a class map, since a label without images is probably misspelled.

    Raises:
        UnknownNameError: If a label is missing; the message has near matches and the labels of the data.
    """
    labels = f"the data has {', '.join(sorted(present))} (data.class_map=null clears the map)"
    for label in class_map:
        look_up("label in data.class_map", label, dict.fromkeys(present), labels)


def map_classes(records: Sequence[Record], class_map: Mapping[str, str]) -> list[Record]:
    """Return the records with their labels mapped."""
    return [replace(record, label=class_map.get(record.label, record.label)) for record in records]
