"""A Docker engine for the test: the one that answers, or one of our own, and a base image.

Our own has its socket and its data in a folder that is deleted. It makes no bridge of its own and
no rules of a firewall: containers reach each other, and their published ports, without them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from platformdirs import user_cache_path

ASKED = "COURSE_DOCKER"  # set by `python -m tests.docker`
OFFICIAL = "python:3.13-slim"
OURS = "scale-out-ml-course-base"  # made where the official one cannot be had
SUITE = "trixie"  # the Debian of the official image; its Python is 3.13, too
PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
INSTALL = "apt install docker.io docker-compose iptables debootstrap"


def run(*call: object, check: bool = True, timeout: float = 900, **options) -> str:
    """Return what a command printed; fail with its own words."""
    done = subprocess.run(
        [str(part) for part in call], capture_output=True, text=True, timeout=timeout, **options
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(done.args)}\n{done.stdout}\n{done.stderr}", pytrace=False)
    return done.stdout


def works(*call: str) -> bool:
    """Return whether a command is there and ends well."""
    try:
        return not subprocess.run(call, capture_output=True, timeout=300).returncode
    except OSError:
        return False


def skip(reason: str) -> None:
    """Skip the test, and say what would let it run."""
    pytest.skip(f"{reason} (Debian, Ubuntu, as root: {INSTALL})")


@contextmanager
def engine() -> Iterator[str]:
    """Let docker's commands reach an engine meanwhile; yield a base image that it has."""
    if not shutil.which("docker"):
        skip("there is no Docker here")
    if works("docker", "info"):
        with _base() as base:
            yield base
        return
    if sys.platform != "linux" or os.geteuid() != 0:
        skip("no Docker engine answers: start it; one of our own needs Linux and root")
    if not shutil.which("dockerd", path=_path()):
        skip("no Docker engine answers, and there is no dockerd to start")
    with tempfile.TemporaryDirectory(prefix="docker-", ignore_cleanup_errors=True) as folder:
        with _own(Path(folder)) as socket, pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", socket)
            with _base() as base:
                yield base


def compose() -> list[str]:
    """Return the command of docker compose: the plugin, or the older program."""
    for call in (["docker", "compose"], ["docker-compose"]):
        if works(*call, "version"):
            return call
    skip("there is no docker compose")


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


@contextmanager
def _own(folder: Path) -> Iterator[str]:
    """Run an engine of our own; yield the address of its socket."""
    socket, log = f"unix://{folder}/docker.sock", folder / "log"
    # In a mount namespace of its own, so that its mounts end with it.
    call = ["unshare", "--mount", "dockerd", "--host", socket, "--pidfile", folder / "pid"]
    call += ["--data-root", folder / "data", "--exec-root", folder / "run"]
    call += ["--bridge", "none", "--iptables=false"]
    with log.open("w") as file:
        process = subprocess.Popen(
            call, env=os.environ | {"PATH": _path()}, stdout=file, stderr=file
        )
    try:
        end = time.monotonic() + 60
        while not works("docker", "--host", socket, "version"):
            if process.poll() is not None or time.monotonic() > end:
                last = "\n".join(log.read_text().splitlines()[-5:])
                skip(f"dockerd does not start here, it said:\n{last}\n")
            time.sleep(0.5)
        yield socket
    finally:
        process.terminate()  # it stops what runs
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _base() -> Iterator[str]:
    """Yield the name of an image with Python; remove it afterwards, if we made it."""
    if works("docker", "image", "inspect", OFFICIAL) or works("docker", "pull", OFFICIAL):
        yield OFFICIAL
        return
    with open(_debian(), "rb") as archive:
        change = f"ENV SSL_CERT_FILE={CERTIFICATES}"
        run("docker", "import", "--change", change, "-", OURS, stdin=archive)
    try:
        yield OURS
    finally:
        run("docker", "image", "rm", "--force", OURS)


def _debian() -> Path:
    """Return a small Debian with Python as an archive; it is kept in the user's cache folder."""
    archive = user_cache_path("scale-out-ml-course-tests") / f"debian-{SUITE}.tar"
    if archive.exists():
        return archive
    if (
        sys.platform != "linux"
        or os.geteuid() != 0
        or not shutil.which("debootstrap", path=_path())
    ):
        skip(f"{OFFICIAL} cannot be pulled; to make a base needs Linux, root and debootstrap")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        root, part = Path(folder, "root"), Path(folder, "tar")
        options = ["--variant=minbase", f"--include={PACKAGES}", SUITE, root]
        run("debootstrap", *options, env=os.environ | {"PATH": _path()})
        if CERTIFICATES.exists():  # a company's network has one of its own
            shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
        run("tar", "--create", "--file", part, "--directory", root, ".")
        part.replace(archive)
    return archive
