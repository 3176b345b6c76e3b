"""One way to write a notebook, so that the same content is always the same file."""

import copy
import hashlib

import nbformat

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def canonical(notebook):
    """Copy a notebook with fixed metadata, ids and counts; sources and outputs stay.

    Parameters
    ----------
    notebook : nbformat.NotebookNode

    Returns
    -------
    nbformat.NotebookNode
        Cell ids follow from the cells' text, metadata is the kernel and the cells' tags, pieces of
        one output stream are joined. Code cells count from 1 if the notebook has outputs (nbval
        refuses an output whose cell has no count), else they have no count.
    """
    new = nbformat.from_dict({**copy.deepcopy(notebook), "metadata": copy.deepcopy(METADATA)})
    new.nbformat, new.nbformat_minor = 4, 5
    ran = any(cell.get("outputs") for cell in new.cells)
    seen, count = {}, 0
    for cell in new.cells:
        tags = cell.get("metadata", {}).get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        cell.id = _cell_id(cell, seen)
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count if ran else None
            cell.outputs = merged(cell.outputs)
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = count
    return new


def dumps(notebook):
    """Text of a notebook: JSON with sorted keys, ending in a newline."""
    return nbformat.v4.writes(notebook) + "\n"


def merged(outputs):
    """Join pieces of one stream: where the kernel cut them is chance."""
    new = []
    for output in outputs:
        if output.output_type == "stream" and new and new[-1].get("name") == output.name:
            new[-1].text += output.text
        else:
            new.append(output)
    return new


def _cell_id(cell, seen):
    digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
    seen[digest] = seen.get(digest, 0) + 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
