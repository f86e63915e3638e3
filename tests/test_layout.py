"""The structure that ARCHITECTURE.md promises."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("data", "labeling", "training", "assist", "experiments", "serving")
ALLOWED = {
    "data": set(),
    "labeling": {"data", "serving"},
    "training": {"data"},
    "assist": {"data"},
    "serving": {"data", "assist"},
    "experiments": {"data", "labeling", "training", "assist", "serving"},
}


def modules(package):
    return sorted((ROOT / package).rglob("*.py"))


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_ours(package):
    assert Path(importlib.import_module(package).__file__).parent == ROOT / package


@pytest.mark.parametrize("package", PACKAGES)
def test_package_says_what_it_is(package):
    assert len(importlib.import_module(package).__doc__.split()) > 20


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package):
    for path in modules(package):
        ours = set(imports(path)) & set(PACKAGES) - {package}
        assert ours <= ALLOWED[package], f"{path.name} imports {ours - ALLOWED[package]}"


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_exist(package):
    for path in modules(package):
        # The service needs packaged models to be imported; the page of a package or a room has no names.
        if path.stem in ("service", "__init__"):
            continue
        module = importlib.import_module(dotted(path))
        assert module.__all__, path
        for name in module.__all__:
            assert hasattr(module, name), f"{path}: {name}"


def test_only_labeling_knows_label_studio():
    for package in PACKAGES:
        for path in modules(package):
            assert package == "labeling" or "label_studio_sdk" not in set(imports(path)), path


def test_only_tracking_knows_mlflow_and_only_config_reads_params():
    for package in PACKAGES:
        for path in modules(package):
            if (package, path.name) not in {("experiments", "tracking.py"), ("experiments", "registry.py")}:
                assert "mlflow" not in set(imports(path)), path
            text = path.read_text(encoding="utf-8")
            if (package, path.name) != ("training", "config.py"):
                assert 'open("params.yaml"' not in text


def test_predictor_needs_no_training_stack():
    code = (
        "import sys; import serving.predictor, serving.offline, serving.policy; "
        "heavy = {'torch', 'pytorch_lightning', 'mlflow', 'transformers', 'datasets'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_files_stay_readable():
    for package in PACKAGES:
        for path in modules(package):
            assert path.stem != "utils"
            lines = len(path.read_text(encoding="utf-8").splitlines())
            assert lines <= 400, f"{package}/{path.name} has {lines} lines"


def test_service_requirements_are_the_tested_versions():
    constraints = set((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    for line in (ROOT / "serving" / "requirements.txt").read_text(encoding="utf-8").splitlines():
        assert line.startswith("#") or line in constraints, line


@pytest.mark.parametrize("package", PACKAGES)
def test_what_others_import_is_public(package):
    """A name that another module imports is declared in `__all__`."""
    for importer in PACKAGES:
        for path in modules(importer):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.ImportFrom) or not node.module or node.level:
                    continue
                if node.module.split(".")[0] != package or node.module == package:
                    continue
                public = declared(node.module)
                for alias in node.names:
                    assert alias.name in public, f"{path.name} imports {node.module}.{alias.name}"


def declared(module):
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return set()
