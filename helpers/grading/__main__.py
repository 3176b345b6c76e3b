"""``python -m helpers.grading``: the instructor's commands, and ``check`` for everybody."""

import argparse
import signal
import sys
from importlib.util import find_spec
from pathlib import Path


def main(arguments=None):
    """Run the command line; return the exit code."""
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    try:
        return COMMANDS[command](**options)
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"{command}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{command}: stopped" + "; go on with --resume" * (command == "grade"))


def _parser():
    parser = argparse.ArgumentParser(prog="python -m helpers.grading", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    try_out = commands.add_parser("check", help="run notebooks of exercises; print their points")
    try_out.add_argument("notebooks", nargs="+", type=Path, help="notebooks of exercises")
    try_out.add_argument("--timeout", type=float, default=120, help="seconds for a cell [120]")
    if find_spec("helpers.grading.grader"):  # students do not get what an instructor runs
        _add_instructors_commands(commands)
    return parser


def _add_instructors_commands(commands):
    make = commands.add_parser("generate", help="write the students' notebooks from the solutions")
    make.add_argument("course", nargs="?", default="course", help="the course folder")
    make.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    give = commands.add_parser("release", help="make what students get, and try it")
    give.add_argument("out", type=Path, help="a new folder, or a file that ends in .zip")
    give.add_argument("--no-try", dest="tried", action="store_false", help="don't run it")
    mark = commands.add_parser("grade", help="grade a folder, or a zip, of submissions")
    mark.add_argument("submissions", type=Path, help="folders, zips or notebooks of students")
    mark.add_argument("--out", type=Path, help="a new folder for the results")
    mark.add_argument("--plan", action="store_true", help="say who handed in what; run nothing")
    mark.add_argument("--who", type=Path, metavar="FILE", help="CSV that says whose a path is")
    help = "take the plan as it is, doubts included"
    mark.add_argument("--accept-doubts", action="store_true", help=help)
    mark.add_argument("--resume", action="store_true", help="go on in OUT; keep what is there")
    mark.add_argument("--only", default="", metavar="NAME", help="grade one student of OUT anew")
    mark.add_argument("--jobs", type=_at_least(1), default=2, help="submissions at a time [2]")
    mark.add_argument("--lesson", dest="lessons", action="append", default=[], metavar="NN")
    mark.add_argument("--seed", type=_at_least(0), help="of the inputs; default: a fresh one")
    number = {"type": float, "metavar": "N"}
    mark.add_argument("--timeout", default=60, help="seconds for a cell or exercise [60]", **number)
    mark.add_argument("--memory", default=4, help="GiB for a submission [4]", **number)
    mark.add_argument("--course", type=Path, default=Path("course"), help="the course folder")
    help = "run submissions as yourself, without protection"
    mark.add_argument("--no-sandbox", dest="sandbox", action="store_false", help=help)
    tell = commands.add_parser("appeal", help="write what is known about one student's answers")
    tell.add_argument("out", type=Path, help="the folder of a run")
    tell.add_argument("student", help="name of the student")
    tell.add_argument("--course", type=Path, default=Path("course"), help="the course folder")
    pack = commands.add_parser("gradescope", help="make the autograder that Gradescope runs")
    pack.add_argument("out", type=Path, help="a new file that ends in .zip")
    pack.add_argument("--lesson", default="", metavar="NN", help="grade this lesson only")


def _at_least(least):
    def number(text):
        if int(text) < least:
            raise ValueError
        return int(text)

    number.__name__ = f"whole number of at least {least}"
    return number


def _generate(course, check):
    from helpers.grading.handout.generate import generate

    changes = generate(course, check_only=check)
    print("\n".join(changes) or "The exercises agree with the solutions.")
    return 1 if changes and check else 0


def _grade(lessons, **options):
    from helpers.grading.grader.grade import Options, grade

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the sandboxes there, too
    return grade(Options(lessons=tuple(lessons), **options))


def _release(out, tried):
    from helpers.grading.handout.release import release

    return release(out, tried)


def _check(notebooks, timeout):
    from helpers.grading.trial import trial

    print("\n\n".join(trial(path, timeout) for path in notebooks))
    return 0


def _appeal(out, student, course):
    from helpers.grading.grader.appeal import write_appeal

    print(write_appeal(out, student, course))
    return 0


def _gradescope(out, lesson):
    from helpers.grading.grader.gradescope import make_autograder

    print(make_autograder(out, lesson))
    return 0


COMMANDS = {
    "appeal": _appeal,
    "check": _check,
    "generate": _generate,
    "grade": _grade,
    "gradescope": _gradescope,
    "release": _release,
}


if __name__ == "__main__":
    sys.exit(main())
