"""Grade a folder of submissions: plan, run several at a time, write, go on after a stop."""

import contextlib
import difflib
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

from helpers.data import cache_folder
from helpers.grading.exercise import all_exercises
from helpers.grading.grader import sandbox
from helpers.grading.grader.cells import read_cells
from helpers.grading.grader.identity import Student
from helpers.grading.grader.marking import plain, row_of, suspicious
from helpers.grading.grader.package import copy_without_judges
from helpers.grading.grader.plan import make_plan, show_plan
from helpers.grading.grader.report import write_reports
from helpers.grading.grader.submissions import Found, Submission
from helpers.grading.grader.visit import CannotStart, Observation, Visit


class Refused(RuntimeError):
    """The grader does not grade; the message says why and what to do."""


@dataclass(frozen=True)
class Options:
    """What the command line asked for; see `helpers.grading.__main__`."""

    submissions: Path
    out: Path | None = None
    plan: bool = False
    who: Path | None = None
    accept_doubts: bool = False
    jobs: int = 2
    seed: int | None = None
    lessons: tuple[str, ...] = ()
    timeout: float = 60
    memory: float = 4
    resume: bool = False
    only: str = ""
    course: Path = Path("course")
    sandbox: bool = True


def grade(options, show=print):
    """Grade all submissions.

    Parameters
    ----------
    options : Options
    show : callable
        Takes lines for the instructor.

    Returns
    -------
    int
        0 when every submission was dealt with, whatever its marks; 1 if some could not be.

    Raises
    ------
    Refused
        If grading would be unfair, or would overwrite something.
    """
    if os.name == "nt":
        raise Refused("grading needs Linux or macOS; on Windows, run it in WSL")
    exercises = all_exercises()
    unknown = set(options.lessons) - {id[:2] for id in exercises}
    if unknown:
        raise Refused(f"there are no exercises for lesson {', '.join(sorted(unknown))}")
    if options.plan:
        return show_plan(options, exercises, show, _reading())
    _check_out(options)
    with _work_folder(options) as work:
        plan = _plan(options, exercises, work, show)
        protected = _protection(options, show)
        run = _Run(options, exercises, work, protected)
        chosen = _chosen(options, plan.submissions)
        _prepare_data(chosen)
        solved = _references(options, chosen, work, show)
        failed = run.grade_all(solved, chosen, plan.text(most=100))
        records = [record for item in plan.submissions if (record := run.record_of(item))]
        records += [run.not_graded(item, words) for item, words in failed]
        write_reports(options.out, records)
    counts = Counter(row["status"].split(":")[0] for r in records for row in r["exercises"])
    show(", ".join(f"{status} {n}" for status, n in counts.most_common()))
    show(f"{options.out / 'grades.csv'}; beside it summary.html, feedback/ and files for an LMS")
    for item, words in failed:
        who = f"{item.student.label}, lesson {item.lesson}"
        show(f"NOT GRADED: {who}: {words}\nRun the same command with --resume when that is mended.")
    return 1 if failed else 0


def _protection(options, show):
    """Whether there is a sandbox; if not, tell what that means."""
    works, reason = sandbox.protection() if options.sandbox else (False, "--no-sandbox:")
    if not works:
        show(f"{reason}\n{sandbox.what_is_not_protected()}")
    return works


def _check_out(options):
    """Refuse a folder for the results that would be taken for a submission."""
    if options.out is None:
        raise Refused("name a new folder for the results: --out FOLDER; or look first, with --plan")
    out, submissions = options.out.resolve(), options.submissions.resolve()
    if submissions in (out, *out.parents):
        raise Refused(f"{options.out} lies in {submissions}: name a folder outside of it")


def _plan(options, exercises, work, show):
    """All that is to be graded; doubts end the run here, before anything has run."""
    plan = make_plan(
        *(options.submissions, options.course, exercises, work / "code"),
        *(options.lessons, options.who, _reading()),
    )
    if not plan.submissions:
        raise Refused(f"nothing to grade in {options.submissions}: no folder, zip or notebook")
    show(plan.text())
    if plan.doubts and not options.accept_doubts:
        raise Refused("nothing was run, because of the doubts above")
    return plan


def _reading():
    """A bar for reading what was handed in; what to call after each step."""
    bar = _Progress(0, 0, "reading ")

    def step(done, total):
        bar.total, bar.done = total, done
        bar.draw()
        if done == total:
            bar.end()

    return step


def _chosen(options, plan):
    """What is graded in this run: all, or what one student handed in."""
    if not options.only:
        return plan
    mine = [item for item in plan if options.only in (item.student.name, item.student.key)]
    if not mine:
        names = sorted({item.student.name for item in plan})
        near = difflib.get_close_matches(options.only, names) or names[:10]
        raise Refused(f"nobody is named {options.only!r}; did you mean {', '.join(near)}?")
    return mine


def _prepare_data(plan):
    """Write the months of flights, if somebody reads them: once, and not in every sandbox."""
    codes = (cell for item in plan if _runs(item) for cell in item.file.cells.code)
    if any("write_months" in code for code in codes):
        program = "from helpers.data import write_months as w; w('csv'); w('parquet')"
        subprocess.run([sys.executable, "-c", program], check=False)


def _references(options, plan, work, show):
    """Reference solutions of the lessons that were handed in, as submissions."""
    items = []
    for lesson in sorted({item.lesson for item in plan if item.lesson and item.file}):
        paths = sorted((options.course / "solutions").glob(f"{lesson}_*.ipynb"))
        if paths:
            cells = read_cells(paths[0].read_bytes())
            stored = work / f"reference-{lesson}.json"
            stored.write_text(json.dumps(asdict(cells)), encoding="ascii")
            found = Found(Student("reference"), paths[0].name, stored=stored)
            items.append(Submission(found.student, lesson, found))
        else:
            show(f"{lesson}: no reference solution in {options.course}, so none is tried first")
    return items


class _Run:
    """One run of the command, with what all its submissions share."""

    def __init__(self, options, exercises, work, protected):
        self.options, self.exercises, self.protected = options, exercises, protected
        self.work, self.stopped, self.open = work, False, set()
        self.package = copy_without_judges(work)
        self.settings = _settings(options, self.package)

    def seed_of(self, id):
        """Seed of an exercise: the same inputs for all students, others in every run."""
        digest = hashlib.sha256(f"{self.settings['seed']}:{id}".encode()).digest()
        return int.from_bytes(digest[:4], "big") // 2

    @contextlib.contextmanager
    def sandbox(self):
        """Open a new sandbox, and close it again; also when the instructor stops the run."""
        if self.stopped:
            raise CannotStart("stopped")
        options, data, runs = self.options, cache_folder(), self.work / "runs"
        inside, memory = "helpers.grading.grader.inside", options.memory
        with sandbox.Sandbox(inside, self.package, runs, data, memory, self.protected) as box:
            self.open.add(box)
            try:
                yield box
            finally:
                self.open.discard(box)

    def visit(self, item):
        """Run one submission and observe its exercises; the long part, in a thread of its own."""
        seeds = {id: self.seed_of(id) for id in self.exercises if id[:2] == item.lesson}
        cells = item.file.cells.code
        return Visit(cells, item.lesson, seeds, self.sandbox, self.options.timeout).run()

    def grade_all(self, references, plan, text):
        """Grade what has no result yet; return those that could not be graded, each with words.

        The reference solutions come first: if they do not get full marks on this machine, with
        these inputs, no student could.
        """
        todo = [item for item in plan if self.options.only or not self.record_of(item)]
        total, left = sum(map(_runs, plan)), sum(map(_runs, todo))
        bar, failed = _Progress(total, total - left), []
        pool = ThreadPoolExecutor(self.options.jobs)
        try:
            if left:
                for item, visit in zip(references, pool.map(self.visit, references), strict=True):
                    _refuse_if_unfair(self.record(item, visit), self.options)
            # From here on the folder holds something to go on with.
            out, settings = self.options.out, json.dumps(self.settings["file"], indent=1)
            if not self.options.only:
                write_whole(out / "grading.json", settings)
            write_whole(out / "plan.txt", text)
            for item, visit in self._visits(pool, todo, bar):
                try:
                    if isinstance(visit, Exception):
                        raise visit
                    write_whole(self._path(item), json.dumps(self.record(item, visit), indent=1))
                except Exception as error:  # whatever it is, it is this submission's alone
                    failed.append((item, plain(_said(error), 300)))
                if _runs(item):
                    bar.step()
        except CannotStart as error:
            raise Refused(f"nothing can run here: {error}") from None
        finally:
            self.stopped = True
            for box in list(self.open):
                box.kill()
            pool.shutdown()
            bar.end()
        return failed

    def _visits(self, pool, todo, bar):
        """Yield each submission with its visit, None if there is nothing to run, or an error."""
        waiting = {}
        for item in todo:
            if _runs(item):
                waiting[pool.submit(self.visit, item)] = item
            else:
                yield item, None
        while waiting:
            done, _ = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
            for future in done:
                item = waiting.pop(future)
                try:
                    yield item, future.result()
                except Exception as error:
                    yield item, error
            bar.draw()

    def record(self, item, visit):
        """Judge what was observed: everything that a report needs, as JSON."""
        file, cells = item.file, item.file.cells if item.file else None
        exercises = [e for id, e in self.exercises.items() if id[:2] == item.lesson]
        absent = Observation(happened=file.problem if file else "nothing handed in")
        if visit:
            rows = [
                row_of(e, visit.observed[e.id], self.seed_of(e.id), cells.code, visit.errors)
                for e in exercises
            ]
        else:
            rows = [row_of(e, absent, 0) for e in exercises]
        return {
            "result": self._key(item),
            **{name: getattr(item.student, name) for name in ("name", "key", "moodle", "canvas")},
            "lesson": item.lesson,
            "file": plain(file.path) if file else "",
            "notes": [
                *item.notes,
                *(suspicious(cells.code) if cells else []),
                *(visit.notes if visit else []),
            ],
            "status": "" if rows else plain(file.problem or "no exercise of the course in it"),
            "exercises": rows,
            "cells": {str(n + 1): error for n, error in visit.errors.items()} if visit else {},
            "printed": visit.printed[-1000:] if visit else "",
        }

    def not_graded(self, item, words):
        """A record for the reports of this run only: the next one tries again."""
        record = self.record(Submission(item.student, item.lesson, None, item.notes), None)
        rows = [row | {"status": f"not graded: {words}"} for row in record["exercises"]]
        return record | {"exercises": rows, "status": f"not graded: {words}"}

    def _key(self, item):
        """What a result depends on: it is kept as long as this stays the same."""
        what = [self.settings["key"], item.student.key, item.lesson, item.notes]
        what += [item.file.digest, plain(item.file.path), item.file.problem] if item.file else []
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def _path(self, item):
        name = f"{item.student.key}-{item.lesson or 'none'}.json"
        return self.options.out / "results" / name

    def record_of(self, item):
        """Result of an earlier run, if it is whole and of the same file; else None."""
        try:
            record = json.loads(self._path(item).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        known = isinstance(record, dict) and record.get("result") == self._key(item)
        return record if known or (self.options.only and isinstance(record, dict)) else None


def _said(error):
    return str(error) if isinstance(error, CannotStart) else f"{type(error).__name__}: {error}"


def _runs(item):
    """Whether there is something to run."""
    return bool(item.lesson and item.file and item.file.stored)


def _refuse_if_unfair(record, options):
    wrong = [row for row in record["exercises"] if row["points"] < row["of"]]
    if wrong:
        lines = [f"  {row['id']} {row['name']}: {row['status']} {row['hint']}" for row in wrong]
        lines += [f"  cell {number}: {error}" for number, error in record["cells"].items()]
        begun = options.resume or options.only
        seed = "a new --out with another --seed" if begun else "another --seed"
        raise Refused(
            f"the reference solution of lesson {record['lesson']} does not get full marks here, "
            f"so no student could. Try {seed}, a longer --timeout or more --memory, or run the "
            "course's tests on this machine.\n" + "\n".join(lines)
        )


def _settings(options, package):
    """Settings of this run; a resumed one goes on with those of the run before."""
    path = options.out / "grading.json"
    digest = hashlib.sha256()
    for source in sorted([*package.rglob("*.py"), *Path(__file__).parents[1].rglob("*.py")]):
        digest.update(source.read_bytes())
    now = {"timeout": options.timeout, "memory": options.memory, "program": digest.hexdigest()}
    seed = options.seed
    if options.only and not path.exists():
        raise Refused(f"there is no run in {options.out} in which one student could be graded anew")
    if (options.resume or options.only) and path.exists():
        before = _seed_before(path)
        if seed not in (None, before):
            raise Refused(f"{options.out} was begun with --seed {before}, not {seed}")
        seed = before
    settings = {"seed": secrets.randbelow(2**31) if seed is None else seed, **now}
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
    return {"seed": settings["seed"], "file": settings, "key": key}


def _seed_before(path):
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["seed"])
    except (ValueError, KeyError, TypeError):
        raise Refused(f"{path} is damaged: begin again with a new --out") from None


@contextlib.contextmanager
def _work_folder(options):
    """Folder for what a run needs for itself, inside OUT; it is removed at the end."""
    out, work, new = options.out, options.out / "at-work", not options.out.exists()
    if out.exists() and any(out.iterdir()) and not (options.resume or options.only):
        raise Refused(f"{out} is not empty: name another folder, or go on with --resume")
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "w") as lock:
        _lock(lock, out)
        try:
            yield work.resolve()
        finally:
            shutil.rmtree(work, ignore_errors=True)
            if new:
                with contextlib.suppress(OSError):  # it stays if there is a result in it
                    out.rmdir()


def _lock(file, out):
    """Keep a second grader out of the same folder."""
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(f"another grader is at work in {out}") from None


def write_whole(path, text):
    """Write a file under another name, then rename it: it is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    with open(new, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


class _Progress:
    """A bar with the time left, on standard error; a line now and then where that is a file."""

    def __init__(self, total, done, words=""):
        self.words = words
        self.total, self.first, self.done, self.start = total, done, done, time.monotonic()
        self.line, self.said = sys.stderr.isatty(), -1

    def step(self):
        self.done += 1
        self.draw()

    def draw(self):
        took, ready = time.monotonic() - self.start, self.done - self.first
        left = f"{took / ready * (self.total - self.done):.0f} s left" if ready else "…"
        tenth = 10 * self.done // max(1, self.total)
        text = f"[{'#' * (2 * tenth):20}] {self.words}{self.done} of {self.total}, {left}"
        if self.line:
            print(f"\r{text}   ", end="", file=sys.stderr, flush=True)
        elif tenth > self.said:
            self.said = tenth
            print(text, file=sys.stderr, flush=True)

    def end(self):
        if self.line:
            print(file=sys.stderr)
