"""Make what students get: the lessons and exercises, without solutions, tests and the grader.

The judges go out with it, because ``check`` judges on the student's machine. That gives nothing
away that counts: a judge says what a right answer is like, as the exercise's text does, and the
inputs of grading follow from a seed that nobody has before grading.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from helpers.grading.handout.generate import MARK, generate

TOP = ("LICENSE", "run.py", "pyproject.toml", "uv.lock", "environment.yml")
README = "helpers/grading/handout/students.md"  # the release's own README.md
NAME = "scale-out-ml-course"  # folder in the zip
DAY = (1980, 1, 1, 0, 0, 0)  # of every file in a zip: the same content gives the same bytes


def release(out, tried=True, root=None, show=print):
    """Write the students' release and run its exercises.

    Parameters
    ----------
    out : pathlib.Path
        A new folder, or a file that ends in ``.zip``.
    tried : bool
        Unpack it to a temporary folder and run every exercises notebook there.
    root : path, optional
        The course's own folder; default: the one that holds this package, or the current one.
    show : callable
        Takes lines for the instructor.

    Returns
    -------
    int
        0

    Raises
    ------
    ValueError
        If the exercises are not those of the solutions, if a solution would go out, or if a
        notebook does not run.
    FileExistsError
        If there is something at `out`.
    """
    root, out = _root(root), Path(out)
    if out.exists():
        raise FileExistsError(f"{out} is there already: name another")
    changes = generate(root / "course", check_only=True)
    if changes:
        raise ValueError("run `python -m helpers.grading generate` first: " + "; ".join(changes))
    files = released_files(root)
    for name, path in files.items():
        if MARK.search(path.read_text(encoding="utf-8", errors="replace")):
            raise ValueError(f"{name} holds a solution")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "made")
        write = _write_zip if out.suffix == ".zip" else _write_folder
        write(files, made)
        if tried:
            for line in run_exercises(_unpacked(made, Path(folder, "tried"))):
                show(line)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, out)
    show(f"{out}: {len(files)} files")
    return 0


def released_files(root):
    """Files that students get: sorted names in the release, and where each comes from."""
    course, grading = root / "course", root / "helpers" / "grading"
    paths = [root / name for name in TOP if (root / name).exists()]
    paths += [*course.glob("*.ipynb"), *course.glob("*.json")]
    paths += (course / "exercises").glob("[0-9]*.ipynb")
    paths += [*(root / "images").glob("*.*"), *(root / "helpers").glob("*.py")]
    for name in ("hosts.md", "losses.md", "deploy/*"):  # what lessons link to
        paths += (root / "docs").glob(name)
    paths += grading.glob("*.py")
    paths += (grading / "lessons").glob("*.py")
    files = {path.relative_to(root).as_posix(): path for path in paths}
    return dict(sorted({**files, "README.md": root / README}.items()))


def run_exercises(folder):
    """Run the exercises of a release as a student first would: every check must be answered.

    Parameters
    ----------
    folder : pathlib.Path

    Yields
    ------
    str
        A line for each notebook.

    Raises
    ------
    ValueError
        If a notebook does not run to its end, or a check says something else than that nothing
        was attempted.
    """
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    for path in sorted((folder / "course" / "exercises").glob("*.ipynb")):
        call = [sys.executable, "-m", "jupyter", "execute", "--inplace", path.name]
        options = {"cwd": path.parent, "env": environment, "capture_output": True, "text": True}
        run = subprocess.run(call, **options)
        if run.returncode:
            raise ValueError(f"{path.name} does not run in the release: {run.stderr[-1500:]}")
        said = path.read_text(encoding="utf-8")
        asked = len(re.findall(r"\"check\(", said))
        answered = len(re.findall(r"\"\d\d\.\d \w+: not attempted", said))
        if not asked or asked != answered:
            raise ValueError(f"{path.name}: {asked} checks, {answered} say: not attempted")
        yield f"{path.name} runs, {asked} checks say: not attempted"


def _root(root):
    import helpers

    places = [Path(root)] if root else [Path(helpers.__file__).parents[1], Path.cwd()]
    for place in places:
        if (place / "course" / "solutions").is_dir():
            return place
    raise ValueError("there is no course/solutions here: run it in the course's own folder")


def _unpacked(made, place):
    """Unpack a zip, or copy a folder; return where the files are."""
    if made.is_dir():
        return shutil.copytree(made, place)
    shutil.unpack_archive(made, place, "zip")
    return place / NAME


def _write_folder(files, made):
    for name, path in files.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, made / name)


def _write_zip(files, made):
    # Stored, not compressed: compressed bytes differ between versions of the library.
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, path in files.items():
            entry = zipfile.ZipInfo(f"{NAME}/{name}", DAY)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, path.read_bytes())
