"""One way to write a notebook, so that the same content is always the same file."""

import hashlib
from collections import Counter

import nbformat

METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}


def canonical(notebook):
    """Text of a notebook in its one canonical form.

    Cell ids follow from the cells' text, execution counts are empty, metadata is the kernel and
    the cells' tags, neighbouring pieces of one output stream are one piece.

    Parameters
    ----------
    notebook : nbformat.NotebookNode

    Returns
    -------
    str
        JSON with sorted keys, ending in a newline.
    """
    new = nbformat.from_dict(notebook)
    new.metadata = nbformat.from_dict(METADATA)
    new.nbformat, new.nbformat_minor = 4, 5
    seen = Counter()
    for cell in new.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] += 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        cell.pop("attachments", None) if not cell.get("attachments") else None
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = _merge_streams(cell.outputs)
    return nbformat.writes(new, version=4) + "\n"


def _merge_streams(outputs):
    merged = []
    for output in outputs:
        if "execution_count" in output:
            output.execution_count = None
        last = merged[-1] if merged else None
        if output.output_type == "stream" and last and last.get("name") == output.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged
