"""Submissions that are strange as files: cells, formats, zips, links, names."""

import json
import os
import zipfile

from tests.hostile import SECRET, handed_in, hostile


@hostile(_2="not attempted")
def deleted_cells(book):
    del book.cells[book.find("share_late")]
    book.cells = [cell for cell in book.cells if not cell.startswith("check(")]


@hostile(alone=True)
def copied_cells(book):
    book.cells += book.cells
    book.cells += book.cells


@hostile(_1="not attempted")
def stub_copied_below_the_answer(book):
    book.last("def count_missing(table):\n    ...")


@hostile(_1="not defined: cell 3: SyntaxError")
def split_answer(book):
    number = book.find("count_missing")
    book.cells[number] = "def count_missing(table):"
    book.cells.insert(number + 1, "    return {}")


@hostile()
def split_cells(book):
    imports, *others = book.cells[0].split("\n")
    book.cells[:1] = [imports, *[line for line in others if line.strip()]]


@hostile()
def reordered_cells(book):
    book.cells = book.cells[::-1]


@hostile()
def magics(book):
    book.first("%matplotlib inline\n%config InlineBackend.figure_format = 'svg'")
    book.first("!ls\n%timeit -n1 -r1 1 + 1\n%pip --version\nimport asyncio\nawait asyncio.sleep(0)")
    book.cells[book.find("count_missing")] = "%%time\n" + book.cells[book.find("count_missing")]


def written(place, name, notebook, file="01.ipynb"):
    folder = place / name
    folder.mkdir()
    text = notebook if isinstance(notebook, str) else json.dumps(notebook)
    (folder / file).write_text(text, encoding="utf-8")
    return folder


@handed_in()
def retagged_cells(place, name, book):
    notebook = book.notebook()
    for number, cell in enumerate(notebook["cells"]):
        cell["metadata"] = {"tags": ["raises-exception", "skip-execution"], "deletable": False}
        cell["id"] = "same" if number % 2 else 7
    written(place, name, notebook, "homework final FINAL (3).ipynb")


@handed_in()
def stripped_metadata(place, name, book):
    cells = [{"cell_type": "code", "source": cell.splitlines(True)} for cell in book.cells]
    junk = [None, 3, {"cell_type": "code"}, {"cell_type": "raw", "source": None}, {}]
    written(place, name, {"cells": [*junk, *cells]})


@handed_in()
def format_3(place, name, book):
    cells = [{"cell_type": "code", "input": c, "language": "python"} for c in book.cells]
    sheets = [{"cells": cells[:5]}, {"cells": cells[5:]}]
    written(place, name, {"nbformat": 3, "nbformat_minor": 0, "worksheets": sheets})


@handed_in(**{f"_{n}": "not a notebook" for n in range(1, 6)})
def truncated(place, name, book):
    text = json.dumps(book.notebook())
    written(place, name, text[: len(text) // 2])


@handed_in(**{f"_{n}": "not a notebook: empty file" for n in range(1, 6)})
def empty(place, name, book):
    written(place, name, "")


@handed_in(**{f"_{n}": "not a notebook" for n in range(1, 6)})
def nested_deeply(place, name, book):
    written(place, name, "[" * 10**6)


@handed_in()
def byte_order_mark_and_stray_bytes(place, name, book):
    book.first("# caf\\xe9")
    data = b"\xef\xbb\xbf" + json.dumps(book.notebook(), ensure_ascii=False).encode()
    (place / name).mkdir()
    (place / name / "01.ipynb").write_bytes(data.replace(b"\\\\xe9", b"\xe9"))


@handed_in()
def two_hundred_megabytes(place, name, book):
    notebook = book.notebook()
    data = {"image/png": "A" * (200 * 2**20)}
    output = {"output_type": "display_data", "metadata": {}, "data": data}
    notebook["cells"][0]["outputs"] = [output]
    written(place, name, notebook)


@handed_in(**{f"_{n}": "a link: not followed" for n in range(1, 6)})
def symbolic_link(place, name, book):
    book.write(place.parent / "elsewhere" / "01.ipynb")
    (place / name).mkdir()
    (place / name / "01.ipynb").symlink_to(place.parent / "elsewhere" / "01.ipynb")


@handed_in()
def link_to_everything(place, name, book):
    book.write(place / name / "01.ipynb")
    (place / name / "up").symlink_to("/", target_is_directory=True)
    (place / name / "me").symlink_to(".", target_is_directory=True)


@handed_in()
def zip_that_leads_out(place, name, book):
    with zipfile.ZipFile(place / f"{name}.zip", "w") as archive:
        archive.writestr(f"../{SECRET}.ipynb", "{}")
        archive.writestr(f"/tmp/{SECRET}.ipynb", "{}")
        archive.writestr(f"C:\\{SECRET}.ipynb", "{}")
        archive.writestr("course/exercises/01 (1).ipynb", json.dumps(book.notebook()))
        link = zipfile.ZipInfo("link.ipynb")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")


@handed_in()
def zip_bomb(place, name, book):
    with zipfile.ZipFile(place / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("01.ipynb", json.dumps(book.notebook()))
        with archive.open("old/bomb.ipynb", "w", force_zip64=True) as file:
            for _ in range(600):
                file.write(bytes(2**20))


@handed_in(**{f"_{n}": "damaged zip" for n in range(1, 6)})
def damaged_zip(place, name, book):
    with zipfile.ZipFile(place / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("01.ipynb", json.dumps(book.notebook()))
    data = bytearray((place / f"{name}.zip").read_bytes())
    data[60:400] = bytes(340)
    (place / f"{name}.zip").write_bytes(data)


@handed_in()
def zip_in_a_zip(place, name, book):
    with zipfile.ZipFile(place / "inner.tmp", "w") as archive:
        archive.writestr("01.ipynb", json.dumps(book.notebook()))
    with zipfile.ZipFile(place / f"{name}.zip", "w") as archive:
        archive.write(place / "inner.tmp", "homework.zip")
    (place / "inner.tmp").unlink()


@handed_in()
def not_utf_8(place, name, book):
    book.write(place / name / "01.ipynb")
    os.rename(place / name / "01.ipynb", os.fsencode(place / name) + b"/\xff\xfe 01.ipynb")


@handed_in()
def folder_with_the_name_of_a_notebook(place, name, book):
    (place / name / "01.ipynb").mkdir(parents=True)
    book.write(place / name / "02.ipynb")


@handed_in()
def pipe_with_the_name_of_a_notebook(place, name, book):
    book.write(place / name / "answers.ipynb")
    os.mkfifo(place / name / "01.ipynb")


@handed_in()
def deep_folders(place, name, book):
    book.write(place / name / "01.ipynb")
    for number in range(40):
        (place / name / "/".join("d" * (number + 1))).mkdir()


@handed_in(note="not a notebook: it has no cells")
def thousand_files(place, name, book):
    book.write(place / name / "01.ipynb")
    for number in range(1000):
        (place / name / f"{number}.ipynb").write_text("{}")


@handed_in(note="MiB of code in all")
def code_without_end(place, name, book):
    with zipfile.ZipFile(place / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        long = {"cells": [{"cell_type": "code", "source": "x = 1 " * 650_000}]}
        for number in range(30):
            archive.writestr(f"old/{number}.ipynb", json.dumps(long))
        archive.writestr("01.ipynb", json.dumps(book.notebook()))


@handed_in(**{f"_{n}": "encrypted" for n in range(1, 6)})
def encrypted_zip(place, name, book):
    with zipfile.ZipFile(place / f"{name}.zip", "w") as archive:
        archive.writestr("01.ipynb", json.dumps(book.notebook()))
    data = bytearray((place / f"{name}.zip").read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    (place / f"{name}.zip").write_bytes(data)


@handed_in(**{f"_{n}": "not a notebook: a web page" for n in range(1, 6)})
def web_page(place, name, book):
    written(place, name, "<!DOCTYPE html><title>01</title>")


@handed_in(**{f"_{n}": "not a notebook: a pointer of Git LFS" for n in range(1, 6)})
def pointer_of_lfs(place, name, book):
    written(place, name, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")


@handed_in(note="never graded")
def clone_of_the_course(place, name, book):
    book.answer("count_missing", "return 'mine'")
    book.cells.append("raise SystemExit('this one is not graded')")
    book.write(place / name / "course" / "solutions" / "01_rapids_basics.ipynb")
    honest = type(book)("01")
    honest.write(place / name / "course" / "exercises" / "01_rapids_basics.ipynb")
    os.utime(place / name / "course" / "exercises" / "01_rapids_basics.ipynb", (10**9, 10**9))


@handed_in(note="not graded")
def older_copies(place, name, book):
    book.write(place / name / "01 (2).ipynb")
    book.cells = book.cells[:1]
    book.last("check('01.1')")
    book.write(place / name / "01.ipynb")
    os.utime(place / name / "01.ipynb", (10**9, 10**9))


@handed_in(_1="raised")
def markup_and_formulas(place, name, book):
    body = "raise type('=HYPERLINK(1)', (Exception,), {})('<script>alert(1)</script>')"
    book.answer("count_missing", body)
    book.first("raise ValueError('<img src=x onerror=alert(1)>')")
    book.write(place / f"{name}" / "<script>.ipynb")
