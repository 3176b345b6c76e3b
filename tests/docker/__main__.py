"""Run the cluster of compose.yaml: ``python -m tests.docker [PYTEST ARGUMENT ...]``.

It takes minutes and a gigabyte of downloads. It uses the Docker engine that answers, or starts one
on Linux as root (Debian, Ubuntu: apt install docker.io docker-compose iptables debootstrap).
"""

import os
import sys

from tests.__main__ import ROOT, main
from tests.docker.engine import ASKED

if __name__ == "__main__":
    os.environ[ASKED] = "yes"
    sys.exit(main([str(ROOT / "tests" / "docker"), *sys.argv[1:]]))
