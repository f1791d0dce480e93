"""What pyproject.toml cannot declare: the folder checkpoints/ goes into the wheel as ``acsnet.released``.

In a clone it stays next to the package, where ``acsnet.checkpoints`` finds it.
"""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["acsnet", "acsnet.*"]), "acsnet.released"],
    package_dir={"acsnet.released": "checkpoints"},
)
