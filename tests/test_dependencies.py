"""What each part of the package needs to be installed, and the one line about a package that is missing."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from acsnet._utils.extras import EXTRAS, explain_missing, require_extra
from acsnet.errors import AcsnetError, DataError, MissingPackageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Packages whose import has another name.
IMPORT_NAMES = {
    "mlflow-skinny": "mlflow",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}
# Packages that other packages load: torch, accelerate, sqlalchemy, and torch's exporter the others.
PLUGINS = {"tensorboard", "wandb", "psycopg", "onnx", "onnxscript"}
# Backends of the deformable convolution, which are used if they are there, a part of pydantic, and the library of
# acsnet.metrics.for_torchmetrics.
OPTIONAL = {"triton", "mmcv", "pydantic_core", "torchmetrics"}
# Rooms that ask for their extra when they are imported, and files that are reached only after such a question.
GUARDED_ROOMS = {"training", "evaluation", "report", "curation", "experiments", "statistics", "app"}
GUARDED_FILES = {
    "acsnet/_utils/dicom_checks.py": "data",
    "acsnet/_utils/html.py": "report",
    "acsnet/_utils/plots.py": "report",
    "acsnet/data/dicom.py": "data",
    "acsnet/data/screen_transforms.py": "train",
    "acsnet/data/ultrasound_transforms.py": "train",
    "acsnet/export/formats.py": "export",
    "acsnet/export/onnx_operators.py": "export",
}


def requirements(extra: str = "") -> list[Requirement]:
    """The requirements of the core, or those of an extra with the extras that it includes."""
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    found = []
    for requirement in map(Requirement, lines):
        if requirement.name == PROJECT["name"]:
            found += [inner for included in requirement.extras for inner in requirements(included)]
        else:
            found.append(requirement)
    return found


def import_name(requirement: Requirement) -> str:
    return IMPORT_NAMES.get(requirement.name, requirement.name)


CORE = {import_name(requirement) for requirement in requirements()}
IN_EXTRAS = {name for names in EXTRAS.values() for name in names}


def visit_imports(source: str) -> Iterator[tuple[str, bool, bool]]:
    """Top-level package of each import of third parties, whether it is for type hints, and whether it is explained."""

    def visit(node: ast.AST, is_hint: bool, is_explained: bool) -> Iterator[tuple[str, bool, bool]]:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            yield name.partition(".")[0], is_hint, is_explained
        if isinstance(node, ast.If):
            is_hint = is_hint or "TYPE_CHECKING" in ast.unparse(node.test)
        if isinstance(node, ast.With):
            is_explained = is_explained or any("explain_missing" in ast.unparse(item) for item in node.items)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, is_hint, is_explained)

    known = sys.stdlib_module_names | {"acsnet"}
    yield from (found for found in visit(ast.parse(source), False, False) if found[0] not in known)


@cache
def imports(source: str) -> list[tuple[str, bool, bool]]:
    return [*visit_imports(source)]


def faults(path: str, source: str) -> list[str]:
    """The imports of a module that are not declared, or whose absence nobody explains."""
    found = []
    for name, is_hint, is_explained in imports(source):
        if name not in CORE | IN_EXTRAS | OPTIONAL:
            found.append(f"{name} is not in pyproject.toml")
        elif name in IN_EXTRAS and not is_hint and not is_explained:
            is_guarded = path.split("/")[1] in GUARDED_ROOMS or name in EXTRAS.get(GUARDED_FILES.get(path, ""), ())
            found += [] if is_guarded else [f"{name} is imported without explain_missing"]
    return found


MODULES = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted((REPOSITORY / "acsnet").rglob("*.py"))
}


def test_every_import_is_declared_and_its_absence_explained() -> None:
    assert {path: found for path, source in MODULES.items() if (found := faults(path, source))} == {}


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("acsnet/losses/a.py", "import torch, cv2, json", []),
        ("acsnet/losses/a.py", "import pandas.api", ["pandas is not in pyproject.toml"]),
        ("acsnet/losses/a.py", "from monai import x", ["monai is imported without explain_missing"]),
        ("acsnet/losses/a.py", "def f():\n    import scipy.stats", ["scipy is imported without explain_missing"]),
        ("acsnet/losses/a.py", "def f():\n    with explain_missing('f'):\n        import scipy", []),
        ("acsnet/losses/a.py", "if TYPE_CHECKING:\n    import scipy", []),
        ("acsnet/training/a.py", "import accelerate", []),
        ("acsnet/_utils/html.py", "import optuna", ["optuna is imported without explain_missing"]),
    ],
)
def test_the_rule_itself(path: str, source: str, expected: list[str]) -> None:
    assert faults(path, source) == expected


def test_no_package_is_required_in_vain() -> None:
    used = {name for source in MODULES.values() for name, is_hint, _ in imports(source) if not is_hint}
    assert (CORE | IN_EXTRAS) - PLUGINS - used == set()


def test_the_core_is_small() -> None:
    beside = {"filelock", "huggingface_hub", "PIL", "tqdm", "typing_extensions"}  # torch, torchvision, timm need them
    used = {"torch", "torchvision", "timm", "segmentation_models_pytorch"}
    assert CORE - {"typer"} == {*beside, *used, "numpy", "cv2", "pydantic", "safetensors", "yaml"}


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_table_of_extras_is_that_of_the_project(extra: str) -> None:
    assert sorted(EXTRAS[extra]) == sorted(map(import_name, requirements(extra)))


def test_dev_has_every_extra_but_the_compiled_one() -> None:
    assert set(PROJECT["optional-dependencies"]) == {*EXTRAS, "all", "mmcv", "interop", "docs", "tools", "dev"}
    everything = {requirement.name for extra in EXTRAS for requirement in requirements(extra)}
    page = {requirement.name for requirement in requirements("app")} - {
        requirement.name for requirement in requirements("data")
    }
    assert {requirement.name for requirement in requirements("all")} == everything - page
    assert everything < {requirement.name for requirement in requirements("dev")}


def test_no_package_is_named_twice() -> None:
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in (*EXTRAS, "mmcv"))]
    names = [Requirement(line).name.lower() for lines in lists for line in lines]
    names = [name for name in names if name != PROJECT["name"]]
    assert len(names) == len(set(names))


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    lines = (REPOSITORY / "scripts" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    oldest = [Requirement(line) for line in lines if line and not line.startswith("#")]
    needed = [*requirements(), *requirements("all")]
    assert [one.name for one in oldest] == sorted({one.name for one in needed}, key=str.lower)
    versions = {one.name: str(one.specifier).removeprefix("==") for one in oldest}
    for requirement in needed:
        (bound,) = requirement.specifier
        assert bound.operator in (">=", "=="), f"{requirement} has no lower bound"
        # 1.11 allows 1.11.0, and no version before it.
        version = versions[requirement.name]
        assert f"{version}.0.0".startswith(f"{bound.version}."), f"{requirement} is tested with {version}"


def test_a_missing_package_is_one_line() -> None:
    require_extra("train", "training")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "monai", None)
        patch.setitem(sys.modules, "scipy", None)
        with pytest.raises(MissingPackageError, match=r"^training needs monai, scipy: pip install 'acsnet\[train\]'$"):
            require_extra("train", "training")
        require_extra("train", "training", ("accelerate",))
        patch.setitem(sys.modules, "pydicom", None)
        message = r"^a\.dcm is a DICOM file, which needs pydicom: pip install 'acsnet\[data\]'$"
        with pytest.raises(DataError, match=message), explain_missing("a.dcm is a DICOM file, which", DataError):
            import pydicom.pixels  # noqa: F401
        patch.setitem(sys.modules, "jinja2", None)
        message = r"^a page needs jinja2: pip install 'acsnet\[report\]'$"
        with pytest.raises(MissingPackageError, match=message), explain_missing("a page"):
            from jinja2 import Environment  # noqa: F401
    assert issubclass(MissingPackageError, AcsnetError)
    assert issubclass(MissingPackageError, ImportError)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("statsmodels.stats.multitest", "Holm's correction needs statsmodels: pip install 'acsnet[report]'"),
        ("statsmodels.stats.contingency_tables", "McNemar's test needs statsmodels: pip install 'acsnet[report]'"),
    ],
)
def test_statistics_without_statsmodels(module: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from acsnet.statistics import holm, mcnemar_test

    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=f"^{re.escape(line)}$"):
        holm([mcnemar_test([1, 1, 1, 0], [1, 0, 0, 1]).p_value])


@pytest.mark.parametrize("name", ["no_such_package", "acsnet.no_such_module"])
def test_an_import_that_no_extra_mends_stays_an_error(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=f"No module named '{name}'"), explain_missing("it"):
        __import__(name)


# Runs where only the core is installed: the packages of all extras are hidden. Prints what works, and each message.
WITHOUT_EXTRAS = """
import importlib, importlib.util, json, sys
from pathlib import Path

repository, folder, *hidden = sys.argv[1:]
sys.modules.update(dict.fromkeys(hidden))
folder = Path(folder)

import numpy as np
import torch

import acsnet
from acsnet import data, losses, metrics, ops
from acsnet._utils.csv_io import read_table
from acsnet.config import FoldsConfig, PostprocessingConfig, TransformConfig
from acsnet.data.grouping import group_records
from acsnet.data.random_folds import draw_positions
from acsnet.export import export_checkpoint
from acsnet.inference.postprocessing import postprocess
from acsnet.metrics.published import PublishedCase, published_metrics
from acsnet.phantom import write_phantoms

specification = importlib.util.spec_from_file_location("snapshots", f"{repository}/tests/models/update_snapshots.py")
snapshots = importlib.util.module_from_spec(specification)
specification.loader.exec_module(snapshots)

write_phantoms(folder, {"benign": 1}, size=(64, 96), vary_size=False, progress=False)
image = folder / "benign" / "benign (1).png"
prediction = acsnet.Predictor.from_checkpoint("acsnet_busi")(image)
(folder / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(64))
(folder / "a.xlsx").write_bytes(b"PK")
mask = np.zeros((8, 8), bool)
mask[2:6, 2:6] = True
case = PublishedCase("benign", "benign", np.where(mask, 0.9, 0.1).astype(np.float32), mask, [mask])
flip = TransformConfig.model_validate({"name": "HorizontalFlip"})
names = [str(index) for index in range(20)]
steps = PostprocessingConfig(minimum_area=0.01, largest_component=True, fill_holes=True)
ones = torch.ones(1, 1, 8, 8)

works = {
    "models": [name for name in acsnet.list_models() if snapshots.build_tiny(name) is not None],
    "released": [name for name in acsnet.list_checkpoints() if acsnet.load_model(name) is not None],
    "mask": list(prediction.mask.shape),
    "label": prediction.label,
    "postprocessing": int(postprocess(mask, steps).sum()),
    "losses": [
        float(losses.BCELoss()(0 * ones, ones)),
        float(losses.CrossEntropyLoss()(ones[0, 0], torch.arange(8))),
        float(losses.DiceLoss()(99 * ones, ones)),
    ],
    "metrics": [metrics.dice_score(mask, mask), metrics.iou_score(mask, mask)],
    "operator": list(ops.deform_conv2d(ones, torch.zeros(1, 18, 8, 8), torch.ones(1, 1, 3, 3), padding=1).shape),
    "records": len(data.read_busi(folder)),
}


def message(action):
    try:
        action()
    except acsnet.AcsnetError as error:
        return f"{type(error).__name__}: {error}"


lines = {
    "training": lambda: importlib.import_module("acsnet.training"),
    "evaluation": lambda: importlib.import_module("acsnet.evaluation"),
    "statistics": lambda: importlib.import_module("acsnet.statistics"),
    "report": lambda: importlib.import_module("acsnet.report"),
    "curation": lambda: importlib.import_module("acsnet.curation"),
    "app": lambda: importlib.import_module("acsnet.app"),
    "experiments": lambda: importlib.import_module("acsnet.experiments"),
    "focal loss": losses.FocalLoss,
    "class focal loss": losses.ClassFocalLoss,
    "distances": lambda: metrics.hausdorff_distance_95(mask, mask),
    "lesions": lambda: metrics.count_lesions(mask, mask),
    "classes": lambda: metrics.classification_metrics(np.array([0, 1]), np.eye(2), ["benign", "malignant"]),
    "published": lambda: published_metrics("he2024", [case], ["benign", "malignant"]),
    "augmentation": lambda: data.Augmentation([flip], size=(8, 8)),
    "grouping": lambda: group_records(data.read_busi(folder)),
    "random folds": lambda: draw_positions(names, FoldsConfig(count=4, grouped=False, validation=0.2)),
    "workbook": lambda: read_table(folder / "a.xlsx", ("image",)),
    "dicom": lambda: acsnet.Predictor.from_checkpoint("acsnet_busi")(folder / "a.dcm"),
    "onnx": lambda: export_checkpoint("acsnet_busi", "onnx", folder / "a.onnx"),
}
loaded = sorted({name.partition(".")[0] for name, module in sys.modules.items() if module} & {*hidden})
print(json.dumps({"works": works, "lines": {key: message(action) for key, action in lines.items()}, "loaded": loaded}))
"""


@pytest.fixture(scope="module")
def core_only(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("core")
    command = [sys.executable, "-c", WITHOUT_EXTRAS, str(REPOSITORY), str(folder), *sorted(IN_EXTRAS)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_the_core_has_every_network_and_predicts(core_only: dict[str, Any]) -> None:
    import acsnet

    works = core_only["works"]
    assert works["models"] == [*acsnet.list_models()]
    assert works["released"] == [*acsnet.list_checkpoints()]
    assert works["mask"] == [64, 96]
    assert works["label"] in ("benign", "malignant", "normal")
    assert works["postprocessing"] == 16
    assert works["losses"] == pytest.approx([0.6931, 2.0794, 0], abs=1e-4)
    assert works["metrics"] == [1, 1]
    assert works["operator"] == [1, 1, 8, 8]
    assert works["records"] == 1
    assert core_only["loaded"] == []


ALL_OF = {extra: ", ".join(names) for extra, names in EXTRAS.items()}


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ("training", f"training needs {ALL_OF['train']}: pip install 'acsnet[train]'"),
        ("evaluation", f"testing needs {ALL_OF['train']}: pip install 'acsnet[train]'"),
        ("statistics", "statistics needs scipy: pip install 'acsnet[train]'"),
        ("report", f"a report needs {ALL_OF['report']}: pip install 'acsnet[report]'"),
        ("curation", f"curation needs {ALL_OF['report']}: pip install 'acsnet[report]'"),
        ("app", f"the web page needs {ALL_OF['app']}: pip install 'acsnet[app]'"),
        (
            "experiments",
            f"an experiment of several runs needs {ALL_OF['experiments']}: pip install 'acsnet[experiments]'",
        ),
        ("focal loss", "the focal loss needs monai: pip install 'acsnet[train]'"),
        ("class focal loss", "the focal loss needs monai: pip install 'acsnet[train]'"),
        ("distances", "the distance of masks needs scipy: pip install 'acsnet[train]'"),
        ("lesions", "counting lesions needs scipy: pip install 'acsnet[train]'"),
        ("classes", "counting classes needs sklearn: pip install 'acsnet[train]'"),
        ("published", "counting as a publication does needs scipy: pip install 'acsnet[train]'"),
        ("augmentation", "augmentation needs albumentations: pip install 'acsnet[train]'"),
        ("grouping", "grouping images needs scipy: pip install 'acsnet[train]'"),
        ("random folds", "splitting at random needs sklearn: pip install 'acsnet[train]'"),
        ("onnx", f"exporting to ONNX needs {ALL_OF['export']}: pip install 'acsnet[export]'"),
    ],
)
def test_a_part_without_its_extra_is_one_line(core_only: dict[str, Any], part: str, line: str) -> None:
    assert core_only["lines"][part] == f"MissingPackageError: {line}"


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ("workbook", "a.xlsx is an Excel workbook, which needs openpyxl: pip install 'acsnet[data]'"),
        ("dicom", "a.dcm is a DICOM file, which needs pydicom: pip install 'acsnet[data]'"),
    ],
)
def test_a_file_whose_format_needs_an_extra_is_one_line(core_only: dict[str, Any], part: str, line: str) -> None:
    assert core_only["lines"][part].startswith("DataError: ")
    assert core_only["lines"][part].endswith(f"/{line}")
