#!/usr/bin/env python3
"""Set up the course and use it: ``run.py lab`` opens it, ``run.py test`` verifies it.

``run.py gpu`` runs every lesson on this machine's NVIDIA GPU and reports what differed. ``run.py
site`` builds the pages for reading. ``--gpu`` installs RAPIDS for the other commands, too (Linux,
5 GB), ``--site`` what builds and tests the pages.
Needs Python 3.11 to 3.13 with venv and pip, and nothing else. Everything is installed into .venv
beside this file, in exactly the versions of uv.lock; a second run finds it there.
"""

import ast
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
UV = "uv==0.13.9"  # the version in uv.lock, which tests/test_environment.py compares
USAGE = "usage: python3 run.py lab | test | site | gpu | setup [--gpu] [--site] [more arguments]"
EXTRAS = ("gpu", "site")  # of pyproject.toml: a switch for every command, and a command's own need
COMMANDS = {
    "lab": ["-m", "helpers.lab"],
    "test": ["-m", "tests"],
    "site": [str(HERE / "docs" / "site" / "build.py")],
    "gpu": ["-m", "tests.gpu"],
    "setup": ["-c", "print('The environment is ready: .venv')"],
}
UNFINISHED = VENV / "unfinished"  # is there while .venv is being made
FOR_UV = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE", "proxy": "ALL_PROXY"}
FOR_UV |= {"trusted-host": "UV_INSECURE_HOST"}
FOR_PIP = (*FOR_UV, "extra-index-url", "find-links", "client-cert", "default-timeout", "timeout")
HINTS = {  # what a step may say when it fails, the first that fits: what to do
    r"no space left|enospc|os error (28|112)|disk quota": "The disk is full: 2 GiB are needed.",
    r"ensurepip|no module named '?venv": "Install venv (Debian, Ubuntu: apt install python3-venv).",
    r"permission denied|access is denied|read-only|os error (5|13|30)\b": (
        "This folder cannot be written: move the course to one of yours, and close what uses .venv."
    ),
    r"needs to be updated": "uv.lock does not belong to pyproject.toml: get both again with git.",
    r"certificate|unknownissuer|ssl(error|:)": (
        "The network's certificate is not trusted. In a company: name the file of its certificate "
        "in the environment variables SSL_CERT_FILE and PIP_CERT."
    ),
    r"hash mismatch|do not match the hashes": "The index has another file than the locked one.",
    r"407 proxy": "The proxy asks for a password: HTTPS_PROXY=http://name:password@host:port",
    r"error sending request|connect|resol|network|timed? ?out|no matching distribution": (
        "Is the network reachable? Behind a proxy: set HTTPS_PROXY. With an index of your own: "
        "pip config set global.index-url ..."
    ),
}


def main(arguments):
    """Set up, then run one command in the environment; return its exit code."""
    extras = [name for name in EXTRAS if f"--{name}" in arguments or arguments[:1] == [name]]
    arguments = [each for each in arguments if each not in {f"--{name}" for name in EXTRAS}]
    if not arguments or arguments[0] not in COMMANDS:
        print(__doc__, USAGE, sep="\n")
        return 2
    if arguments[0] in ("test", "site", "gpu") and not (HERE / "tests").is_dir():
        print("This is a copy for students, without its tests: use lab or setup.", file=sys.stderr)
        return 2
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit(f"The course needs Python 3.11 to 3.13; this is {sys.version.split()[0]}.")
    try:
        with locked():
            set_up([part for name in extras for part in ("--extra", name)])
    except OSError as error:
        if what_is_wrong():  # else somebody prepared all, in a folder that cannot be written
            stop("to make .venv", str(error))
    call = [PYTHON, *COMMANDS[arguments[0]], *arguments[1:]]
    return subprocess.call(call, cwd=HERE, env=clean_environment())


@contextmanager
def locked():
    """Let one run at a time work on .venv; the next one waits, and finds it ready."""
    with open(HERE / ".venv.lock", "a") as file:
        if os.name == "nt":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # tries for ten seconds
                    break
                except OSError:
                    continue
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # the lock goes with the file, and with the process


def set_up(extras):
    """Make .venv, if it is not there or not whole, and install the locked packages into it."""
    why = what_is_wrong()
    if why:
        print(f"Making .venv{why}: the first time takes minutes.", flush=True)
        remove(VENV)
        python = getattr(sys, "_base_executable", sys.executable)  # not the one of .venv itself
        step("to make .venv", [python, "-m", "venv", VENV], clean_environment())
        UNFINISHED.touch()
    pip, uv = network()
    if not runs(f"import importlib.metadata as m, uv; assert m.version('uv') == {UV[4:]!r}"):
        step("to install uv", [PYTHON, "-m", "pip", "install", "--quiet", UV], pip)
    call = [PYTHON, "-m", "uv"]
    if "UV_DEFAULT_INDEX" not in uv:
        step("to install", [*call, "sync", "--locked", "--quiet", "--python", PYTHON, *extras], uv)
    else:  # the lock names PyPI's addresses: take the same files, by their hashes, from the index
        with tempfile.TemporaryDirectory() as folder:
            wanted = Path(folder, "requirements.txt")
            export = ["export", "--frozen", "--quiet", "--no-emit-project", "-o", wanted, *extras]
            step("to read uv.lock", [*call, *export], uv)
            call += ["pip", "install", "--quiet", "--python", PYTHON]
            step("to install", [*call, "--require-hashes", "-r", wanted], uv)
        if not runs("import importlib.metadata as m; m.version('scale-out-ml-course')"):
            step("to install the course", [*call, "--no-deps", "-e", HERE], uv)
    UNFINISHED.unlink(missing_ok=True)


def what_is_wrong():
    """Why .venv cannot be used, as the end of a phrase; empty if it can."""
    if not os.path.lexists(VENV):
        return " beside this file"
    if UNFINISHED.exists():
        return " anew, because making it was interrupted"
    if not runs("import sys"):
        return " anew, because its Python is gone or does not run"
    if not runs("import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13)"):
        return " anew, because its Python is none of 3.11 to 3.13"
    if not runs(f"import pip, sys, os; assert os.path.samefile(sys.prefix, {str(VENV)!r})"):
        return " anew, because it has no pip or was made for another folder"
    return ""


def runs(code):
    """Whether the environment's Python runs this without an error."""
    try:
        call = [PYTHON, "-I", "-c", code]
        return not subprocess.run(call, capture_output=True, env=clean_environment()).returncode
    except OSError:
        return False


def remove(path):
    """Delete a folder, a file or a link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def clean_environment():
    """Return the variables of this process without those that lead to another Python."""
    others = {"PYTHONHOME", "PYTHONPATH", "CONDA_PREFIX", "UV_PYTHON", "UV_PROJECT", "UV_TARGET"}
    kept = {name: value for name, value in os.environ.items() if name not in others}
    return kept | {"VIRTUAL_ENV": str(VENV), "UV_PROJECT_ENVIRONMENT": str(VENV)}


def network():
    """Read from pip's settings how to reach packages; return the variables for pip and for uv."""
    ours = clean_environment()
    call = [PYTHON, "-m", "pip", "config", "list"]
    all_files = ours | {"PIP_USER": "0"}  # with --user, pip lists the user's file alone
    listed = subprocess.run(call, capture_output=True, text=True, env=all_files, cwd=HERE).stdout
    found = {}  # pip lists files first and the environment last, which wins
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        found[key.rpartition(".")[2]] = ast.literal_eval(value)
    # What else is set, --user or --target, would lead out of .venv.
    plain = {name: value for name, value in ours.items() if not name.startswith("PIP_")}
    pip = {f"PIP_{key.upper().replace('-', '_')}": found[key] for key in FOR_PIP if key in found}
    uv = {name: found[key] for key, name in FOR_UV.items() if key in found}
    if "UV_INDEX_URL" in plain:
        uv["UV_DEFAULT_INDEX"] = plain["UV_INDEX_URL"]
    # uv brings certificates along; a company's own one is among the system's, if it has any.
    paths = ssl.get_default_verify_paths()
    there = paths.cafile or (paths.capath and os.listdir(paths.capath))
    if there or sys.platform in ("win32", "darwin"):
        uv["UV_SYSTEM_CERTS"] = "1"
    pip |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return plain | pip, uv | plain


def step(what, command, environment):
    """Run a command in this folder, or stop with what it said and a hint."""
    command = list(map(str, command))
    done = subprocess.run(command, cwd=HERE, env=environment, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        stop(what, done.stderr.strip(), " ".join(command))


def stop(what, said, command=""):
    """End with what a step said and what to do about it."""
    hints = (hint for words, hint in HINTS.items() if re.search(words, said.lower()))
    hint = next(hints, "Delete the folder .venv and try again.")
    sys.exit(f"{command}\n{said}\n\nIt was not possible {what}. {hint}".lstrip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
