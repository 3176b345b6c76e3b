#!/usr/bin/env python3
"""Set up the course and use it: ``run.py lab`` opens it, ``run.py test`` verifies it.

``run.py gpu`` runs every lesson on this machine's NVIDIA GPU and reports what differed. ``--gpu``
installs RAPIDS for the other commands, too (Linux, 5 GB).
Needs Python 3.11 to 3.13 with venv and pip, and nothing else. Everything is installed into .venv
beside this file, in exactly the versions of uv.lock; a second run finds it there.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
UV = "uv==0.13.9"  # the version in uv.lock, which tests/test_environment.py compares
USAGE = "usage: python3 run.py lab | test | gpu | setup   [--gpu]   [more arguments for them]"


def main(arguments):
    """Set up, then run one command in the environment; return its exit code."""
    gpu = "--gpu" in arguments or arguments[:1] == ["gpu"]
    arguments = [argument for argument in arguments if argument != "--gpu"]
    commands = {
        "lab": ["-m", "jupyter", "lab", "--notebook-dir", str(HERE), "course/00_setup.ipynb"],
        "test": ["-m", "tests"],
        "gpu": ["-m", "tests.gpu"],
        "setup": ["-c", "print('The environment is ready: .venv')"],
    }
    if not arguments or arguments[0] not in commands:
        print(__doc__, USAGE, sep="\n")
        return 2
    if arguments[0] in ("test", "gpu") and not (HERE / "tests").is_dir():
        print("This is a copy for students, without its tests: use lab or setup.", file=sys.stderr)
        return 2
    set_up(["--extra", "gpu"] if gpu else [])
    return subprocess.call([PYTHON, *commands[arguments[0]], *arguments[1:]], cwd=HERE)


def set_up(extras):
    """Make .venv, if it is not there, and install the locked packages into it."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit(f"The course needs Python 3.11 to 3.13; this is {sys.version.split()[0]}.")
    if not PYTHON.exists():
        run([sys.executable, "-m", "venv", VENV], "Install venv (Debian, Ubuntu: python3-venv).")
    if subprocess.call([PYTHON, "-c", "import uv"], stderr=subprocess.DEVNULL):
        run([PYTHON, "-m", "pip", "install", "--quiet", UV], "Is the network reachable?")
    environment = os.environ | {"VIRTUAL_ENV": str(VENV), "UV_PROJECT_ENVIRONMENT": str(VENV)}
    sync = [PYTHON, "-m", "uv", "sync", "--locked", "--quiet", "--python", PYTHON, *extras]
    run(sync, "Is the network reachable? Delete .venv to start anew.", env=environment)


def run(command, hint, **options):
    """Run a command in this folder, or stop with its exit code and a hint."""
    code = subprocess.call(list(map(str, command)), cwd=HERE, **options)
    if code:
        sys.exit(f"This step failed: {' '.join(map(str, command))}\n{hint}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
