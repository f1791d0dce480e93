"""The list of packages, with the folder checkpoints/ as ``acsnet.released``, which pyproject.toml cannot declare.

In a clone, ``acsnet.checkpoints`` reads checkpoints/ next to the package.
"""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["acsnet", "acsnet.*"]), "acsnet.released"],
    package_dir={"acsnet.released": "checkpoints"},
)
