"""What pyproject.toml cannot declare: the folder checkpoints/ goes into the package, with its index alone.

In a clone it stays beside the package, where its files are (``acsnet.released``).
"""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["acsnet", "acsnet.*"]), "acsnet.checkpoints"],
    package_dir={"acsnet.checkpoints": "checkpoints"},
)
