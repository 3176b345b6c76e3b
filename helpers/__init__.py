"""The small package that the lessons import.

Nothing heavy is imported here: each lesson names the module it needs, for example
``from helpers.backend import get_backend``.
"""
