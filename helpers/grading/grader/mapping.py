"""The mapping file: an instructor's word on who handed in what."""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Who:
    """What a mapping file says: for a path the student and perhaps the lessons.

    Attributes
    ----------
    rows : dict of str to tuple
        ``{path: (student, lessons)}``; no student means that the path is left out.
    lines : dict of str to str
        Where in the file each path stands, for messages.
    name : str
        Of the file.
    """

    rows: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)
    name: str = ""

    def of(self, path):
        """Row of the longest path that `path` is or lies in; None if there is none."""
        while path not in self.rows and "/" in path:
            path = path.rpartition("/")[0]
        return self.rows.get(path)


def read_who(path, known):
    """Read a mapping file: CSV with the columns path, student and perhaps lesson.

    Parameters
    ----------
    path : pathlib.Path
    known : set of str
        Numbers of the lessons.

    Returns
    -------
    Who

    Raises
    ------
    ValueError
        With the line's number and what is wrong in it.

    Examples
    --------
    A student may have several paths, an empty student leaves a path out::

        path,student,lesson
        hw1/anna,Anna Lee,
        hw1/ben.ipynb,Ben Ode,01 03
        template,,
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8: save it as CSV in UTF-8") from None
    head = text.split("\n")[0]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in head else ",")
    columns, rows, places = None, {}, {}
    for cells in lines:
        words = [cell.strip() for cell in cells]
        where = f"{path}, line {lines.line_num}"
        if not any(words):
            continue
        if columns is None:
            columns = [word.lower() for word in words]
            if columns[:2] != ["path", "student"] or columns[2:] not in ([], ["lesson"]):
                raise ValueError(
                    f"{where}: the columns must be path,student or path,student,lesson"
                )
            continue
        if not 2 <= len(words) <= len(columns):
            raise ValueError(f"{where}: {len(words)} values for the columns {','.join(columns)}")
        place = words[0].removeprefix("./").strip("/")
        lessons = words[2].split() if len(words) > 2 else []
        if not place:
            raise ValueError(f"{where}: there is no path")
        if place in rows:
            raise ValueError(f"{where}: {place} is there twice")
        if unknown := [lesson for lesson in lessons if lesson not in known]:
            raise ValueError(f"{where}: there is no lesson {unknown[0]}; write it as 01")
        rows[place], places[place] = (words[1], lessons), where
    if columns is None:
        raise ValueError(f"{path} is empty: it needs the columns path,student")
    return Who(rows, places, Path(path).name)
