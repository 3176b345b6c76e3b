"""``python -m cuml.accel script.py ...`` runs a script."""

import runpy
import sys

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
