"""compose.yaml and Dockerfile, read: what must hold also where no engine is."""

import runpy

import pytest
import yaml

from tests.notebook_format import ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
GPU = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_has_its_limits_and_tells_its_health(name):
    service = COMPOSE["services"][name]
    assert service["mem_limit"] and service["pids_limit"]
    assert service["cap_drop"] == ["ALL"] and "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "healthcheck" in service or name == "certificates"


def test_only_named_files_enter_the_image():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")][0] == "*"


def test_the_image_is_made_by_the_locked_uv_for_an_ordinary_user():
    assert runpy.run_path(str(ROOT / "run.py"))["UV"] in DOCKERFILE.split()
    assert "--locked" in DOCKERFILE
    assert DOCKERFILE.rindex("USER learner") > DOCKERFILE.rindex("RUN ")


def test_on_gpus_every_part_has_rapids_and_all_but_the_first_a_gpu():
    assert set(GPU["services"]) == set(COMPOSE["services"])
    for name, service in GPU["services"].items():
        assert service["build"]["args"] == {"EXTRAS": "--extra gpu"}
        assert ("deploy" in service) == (name != "certificates")
    assert "Not run here" in (ROOT / "compose.gpu.yaml").read_text(encoding="utf-8")
