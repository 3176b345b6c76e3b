"""compose.yaml, really run: a lesson inside, workers lost, and nothing left behind."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from tests.course.test_lessons import COURSE, differences
from tests.docker import engine
from tests.docker.engine import ASKED, run
from tests.notebook_format import ROOT, read

pytestmark = [
    pytest.mark.timeout(2400),
    pytest.mark.skipif(
        ASKED not in os.environ,
        reason="takes minutes, a gigabyte and a Docker engine: python -m tests.docker",
    ),
]
LESSON = "03_mnmg_kmeans.ipynb"
SERVICES = {"scheduler": 1, "worker": 2, "jupyter": 1}


def wait(until: Callable[[], bool], what: str, seconds: float = 240) -> None:
    """Wait until something holds, or fail."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, f"after {seconds:g} s not yet: {what}"
        time.sleep(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[SimpleNamespace]:
    """Build the image and start all; afterwards nothing of it is left."""
    project = f"course{uuid.uuid4().hex[:8]}"
    with engine.engine() as base, pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMAGE", project)
        patch.setenv("JUPYTER_PORT", "0")  # any free one
        patch.setenv("DASHBOARD_PORT", "0")
        call = [*engine.compose(), "-p", project, "-f", ROOT / "compose.yaml"]
        build = ["--network", "host", "--build-arg", f"BASE={base}", "--tag", project]
        try:
            run("docker", "build", *build, ROOT)
            run(*call, "up", "--detach", "--no-build")
            yield SimpleNamespace(call=call, project=project)
        finally:
            run(*call, "down", "--volumes", "--remove-orphans", check=False)
            run("docker", "image", "rm", "--force", project, check=False)
        label = f"label=com.docker.compose.project={project}"
        for kind in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
            assert run("docker", *kind, "--quiet", "--filter", label) == "", kind
        assert run("docker", "image", "ls", "--quiet", project) == ""


def containers(cluster, service: str) -> list[dict]:
    """Return what the engine knows about the containers of a service."""
    names = run(*cluster.call, "ps", "--all", "--quiet", service).split()
    return sorted(json.loads(run("docker", "inspect", *names)), key=lambda each: each["Name"])


def inside(cluster, service: str, *command: str, check: bool = True, **options) -> str:
    """Return what a command in a container printed."""
    return run(*cluster.call, "exec", "-T", service, *command, check=check, **options)


def address(cluster, service: str, port: int) -> str:
    """Return where a published port is found on this machine."""
    return f"http://{run(*cluster.call, 'port', service, port).strip()}"


def workers(cluster) -> int:
    """Return how many workers the scheduler counts."""
    url = f"{address(cluster, 'scheduler', 8787)}/json/counts.json"
    return json.loads(urllib.request.urlopen(url, timeout=20).read())["workers"]


def test_all_become_healthy(cluster):
    def healthy() -> bool:
        return all(
            [each["State"]["Health"]["Status"] for each in containers(cluster, name)]
            == ["healthy"] * count
            for name, count in SERVICES.items()
        )

    wait(healthy, "all healthy")
    assert workers(cluster) == SERVICES["worker"]
    (certificates,) = containers(cluster, "certificates")
    assert (certificates["State"]["Status"], certificates["State"]["ExitCode"]) == ("exited", 0)


def test_every_container_is_held_in_its_limits(cluster):
    for name in [*SERVICES, "certificates"]:
        for container in containers(cluster, name):
            host, config = container["HostConfig"], container["Config"]
            assert host["Memory"] > 0 and host["PidsLimit"] > 0
            assert host["CapDrop"] == ["ALL"] and not host["Privileged"]
            assert config["User"] == "learner"
            bound = [port for ports in (host["PortBindings"] or {}).values() for port in ports]
            assert {port["HostIp"] for port in bound} <= {"127.0.0.1"}
    for name in SERVICES:
        assert inside(cluster, name, "id", "-u").strip() == "1000"


def test_a_key_is_in_no_image_and_with_its_owner_alone(cluster):
    find = ["find", "/tls", "/home", "/shared", "-name", "*.key", "-o", "-name", "key.pem"]
    assert run("docker", "run", "--rm", "--network=none", cluster.project, *find) == ""
    for name in SERVICES:
        assert inside(cluster, name, *find).split() == ["/tls/key.pem"]
        assert inside(cluster, name, "stat", "-c", "%a", "/tls/key.pem").strip() == "600"
        assert "Read-only" in inside(cluster, name, "sh", "-c", "touch /tls/x 2>&1 || true")


JOIN = """
from distributed import Client, Security
try:
    Client({address!r}, security={security}, timeout=10)
except Exception as error:
    print("refused")
"""


@pytest.mark.parametrize(
    ("where", "security", "said"),
    [
        ("tls://scheduler:8786", "None", ""),
        ("tcp://scheduler:8786", "None", "refused"),
        ("tls://scheduler:8786", "Security.temporary()", "refused"),
    ],
    ids=["with its certificate", "without TLS", "with another authority's"],
)
def test_who_has_no_certificate_does_not_get_in(cluster, where, security, said):
    code = JOIN.format(address=where, security=security)
    assert inside(cluster, "jupyter", "python", "-c", code).strip() == said


def test_jupyter_wants_its_token(cluster):
    url = address(cluster, "jupyter", 8888)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{url}/api/contents", timeout=20)
    log = run(*cluster.call, "logs", "jupyter")
    token = log.split("?token=")[1].split()[0]
    request = urllib.request.Request(f"{url}/api/contents/course")
    request.add_header("Authorization", f"token {token}")
    names = {each["name"] for each in json.load(urllib.request.urlopen(request))["content"]}
    assert LESSON in names


def test_a_lesson_says_the_same_inside(cluster):
    command = ["papermill", "--no-progress-bar", "--cwd", "course", f"course/{LESSON}"]
    inside(
        cluster,
        "jupyter",
        *command,
        f"/shared/{LESSON}",
        "-p",
        "scheduler",
        "tls://scheduler:8786",
    )
    new = nbformat.v4.reads(inside(cluster, "jupyter", "cat", f"/shared/{LESSON}"))
    assert "\n\n".join(differences(read(COURSE / LESSON), new)) == ""


def test_work_ends_with_the_same_result_when_workers_are_lost(cluster):
    script = Path(__file__).with_name("fits.py").read_text()
    inside(cluster, "jupyter", "sh", "-c", "cat > /shared/fits.py", input=script)
    call = [*map(str, cluster.call), "exec", "-T", "jupyter", "python", "/shared/fits.py", "2"]
    one, other = (each["Id"] for each in containers(cluster, "worker"))
    (network,) = containers(cluster, "worker")[0]["NetworkSettings"]["Networks"]
    with subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as work:
        try:
            seen = ""
            while "ready" not in seen:
                line = work.stdout.readline()
                assert line, seen
                seen += line
            run("docker", "network", "disconnect", network, one)
            wait(lambda: workers(cluster) == 1, "a worker that was cut off is missed")
            run("docker", "network", "connect", network, one)
            wait(lambda: workers(cluster) == 2, "it comes back by itself")
            run("docker", "stop", other)
            wait(lambda: workers(cluster) == 1, "a stopped worker is missed")
            inside(cluster, "jupyter", "touch", "/shared/stop")
            rest = work.communicate(timeout=300)[0]
        finally:
            work.kill()
    said = rest + run(*cluster.call, "logs", "--tail", "80", "scheduler")
    assert work.returncode == 0, said
    assert ", 1 result" in rest, said
    assert workers(cluster) == 1
