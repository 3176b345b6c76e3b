"""``python -m helpers.grading``: the instructor's commands."""

import argparse
import sys

from helpers.grading.generate import generate


def main(arguments=None):
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m helpers.grading", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("generate", help="write the students' notebooks from the solutions")
    make.add_argument("course", nargs="?", default="course", help="the course folder")
    make.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    options = parser.parse_args(arguments)
    try:
        changes = generate(options.course, check_only=options.check)
    except (OSError, ValueError) as error:
        sys.exit(f"generate: {error}")
    print("\n".join(changes) or "The exercises agree with the solutions.")
    return 1 if changes and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
