"""A stand-in for RMM: lessons read a name and a peak, which nobody compares."""

from types import SimpleNamespace

from . import statistics  # noqa: F401

mr = SimpleNamespace(get_current_device_resource=SimpleNamespace)
