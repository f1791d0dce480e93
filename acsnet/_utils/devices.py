"""Devices: which ones this machine has, and the choice of one."""

import torch

from acsnet.errors import InputError


def list_devices() -> list[str]:
    """List the devices that PyTorch can compute on here, the preferred one first: GPUs, then the CPU.

    Example:
        >>> list_devices()[-1]
        'cpu'
    """
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return [*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """Return a device by its name, or the preferred one.

    Args:
        name: "cuda" for the current CUDA device, "cuda:1" for the second one, "mps" or "cpu"; by default "cuda" or
            "mps" if there is one, otherwise "cpu".

    Raises:
        InputError: if there is no such device; the message lists those that are there.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
        >>> choose_device("gpu")
        Traceback (most recent call last):
        ...
        acsnet.errors.InputError: there is no device 'gpu' here: this machine has ...
    """
    devices = list_devices()
    if name is None:
        return torch.device(devices[0].partition(":")[0])
    # "cuda" is the current one, whichever that is.
    if str(name) not in {*devices, *(device.partition(":")[0] for device in devices)}:
        raise InputError(f"there is no device {str(name)!r} here: this machine has {', '.join(devices)}")
    return torch.device(name)
