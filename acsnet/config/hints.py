"""Remedies for keys of a configuration that were renamed, or that users look for although there is no such key."""

_RENAMED = {
    "data.parts": "data.split_file",
    "loss.balance": "loss.weighting",
    "loss.segmentation_share": "loss.segmentation_weight",
}
_DEVICE = (
    "the device is chosen outside the configuration, as by --device cuda:1 for the second GPU, or --device cpu for the "
    "CPU"
)

_DEVICE_KEYS = ("device", "model.device", "training.device", "evaluation.device")

# Dotted key -> remedy; a renamed key comes with a line in the changelog.
KEY_HINTS = {old: f"it is {new!r} now" for old, new in _RENAMED.items()} | dict.fromkeys(_DEVICE_KEYS, _DEVICE)
