"""The list of packages, with folders that are next to the package in a clone, which pyproject.toml cannot declare.

A wheel has checkpoints/ as ``acsnet.released`` and configs/ as ``acsnet.configs``. ``acsnet.checkpoints`` and
``acsnet.config`` find them in both places.
"""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["acsnet", "acsnet.*"]), "acsnet.configs", "acsnet.released"],
    package_dir={"acsnet.configs": "configs", "acsnet.released": "checkpoints"},
)
