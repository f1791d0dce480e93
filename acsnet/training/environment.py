"""The environment of a run: versions, device and command line."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from acsnet._utils.printable import mask_passwords
from acsnet.version import __version__

_PACKAGES = ("torch", "torchvision", "timm", "monai", "accelerate", "albumentations", "numpy", "opencv-python-headless")


def describe_environment(device: torch.device, precision: str, processes: int) -> dict[str, Any]:
    """Return versions, device, precision, threads, command line and commit of the code for ``environment.json``."""
    return {
        "acsnet": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "cuda": torch.version.cuda,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({_cpu_name()})",
        "precision": precision,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "command": [Path(sys.argv[0]).name, *map(mask_passwords, sys.argv[1:])],
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit if the code runs from a git checkout, with "+changes" if files differ from it."""
    # An installed package may be inside the repository of another project (in its .venv), whose commit is irrelevant.
    if not _git("ls-files", Path(__file__).name):
        return None
    return _git("describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
