"""The page for the next day: its plain lines run, and give what the helpers give."""

import ast
import re
import subprocess
import sys
import textwrap

from tests.course.test_lessons import LESSONS, by_name
from tests.notebook_format import ROOT, read

PAGE = (ROOT / "docs" / "without_helpers.md").read_text(encoding="utf-8")
# After the block of a section: the same with helpers, and what must be equal.
COMPARED = {
    "Backend": """
        from helpers.backend import get_backend, to_host
        backend = get_backend("cpu")
        assert (backend.xp, backend.xdf) == (xp, xdf)
        assert backend.ml.cluster.KMeans is ml.cluster.KMeans
        assert to_host(table).equals(on_host) and backend.to_device(on_host).equals(on_device)
        """,
    "Cluster": """
        import helpers.cluster as course
        theirs = course.start_cluster(n_workers=1, backend=backend)
        for each in (client, theirs):
            for address, info in each.scheduler_info()["workers"].items():
                assert info["nthreads"] == 1 and "127.0.0.1" in address
            assert {*each.run(lambda: logging.root.manager.disable).values()} == {logging.NOTSET}
        with course.quiet_workers(theirs):
            quiet = theirs.run(lambda: logging.getLogger("x").isEnabledFor(logging.ERROR))
        client.run(logging.disable, logging.CRITICAL)
        plain = client.run(lambda: logging.getLogger("x").isEnabledFor(logging.ERROR))
        client.run(logging.disable, logging.NOTSET)
        assert {*quiet.values()} == {*plain.values()} == {False}
        course.close_cluster()
        """,
    "This machine": """
        from helpers.machine import available_memory
        assert abs(available_memory() - memory) < 0.2 * memory
        """,
    "Data": """
        from helpers.compare import compare
        from helpers.data import FLIGHTS, dtypes, flights, write_months
        months = write_months("csv")[:1]
        plain = dd.read_csv([str(path) for path in months], dtype=dtypes(FLIGHTS)).compute()
        assert compare(plain, flights().query("month == 1")).equal
        assert len(ddf) == 6 and dict(ddf.dtypes.astype(str)) == types
        from helpers.joining import check_shared
        assert check_shared(client, folder) is None and {*seen.values()} == {True}
        """,
    "Points": """
        from helpers.data import blobs, classification
        theirs = [*blobs(1_000, chunk_rows=500), *classification(1_000, chunk_rows=500)]
        for own, other in zip([X, y, X2, y2], theirs, strict=True):
            assert (own.shape, own.chunks) == (other.shape, other.chunks)
        assert {*y2.compute().tolist()} == {*theirs[3].compute().tolist()} == {0, 1}
        """,
    "Results": """
        from helpers.kmeans import canonical_labels, canonical_order, sse as their_sse
        assert compare(table, on_host).equal
        assert (canonical_order(model.cluster_centers_) == order).all()
        assert (canonical_labels(model.labels_, model.cluster_centers_) == labels).all()
        assert np.isclose(sse, their_sse(X, model.cluster_centers_))
        assert np.isclose(sse, model.inertia_)
        """,
    "KMeans on many workers": """
        from helpers.kmeans import DistributedKMeans, to_sklearn
        theirs = DistributedKMeans(n_clusters=3, init=rows[:3], max_iter=50, tol=1e-12).fit(X)
        np.testing.assert_allclose(centers, theirs.cluster_centers_, rtol=1e-5)
        assert (plain.predict(rows) == to_sklearn(theirs).predict(rows)).all()
        assert len({*plain.predict(rows)}) == 3
        """,
    "Sites that train together": """
        from functools import partial
        from helpers.federated import Federation
        from helpers.sites import get_vector, prepare, set_vector
        fresh = get_vector(prepare(learner, 2, classes=[0, 1]))
        np.testing.assert_allclose(fresh, np.zeros(3), atol=1e-300)
        assert (get_vector(set_vector(learner, vector)) == vector).all()
        theirs = Federation(client, SGDClassifier(**learner.get_params()),
                            {str(site): partial(load, site) for site in homes}, batch=100)
        theirs.run(rounds=5, batches=1)
        np.testing.assert_allclose(get_vector(theirs.model), vector)
        assert (abs(vector) > 0).any() and (moved > 0).all()
        theirs.close()
        """,
    "Rules that combine models": """
        import helpers.combining as rules
        rows_of, combined = np.array([100, 100, 100]), rules.Momentum(beta=0.9)
        combined(answers, rows_of, before)
        for own, theirs in (
            (mean, rules.weighted_mean(answers, rows_of)),
            (median, rules.coordinate_median(answers)),
            (trimmed, rules.trimmed_mean(answers)),
            (short.mean(axis=0), rules.clipped(answers, rows_of, before, limit=0.1)),
            (before + velocity, combined(answers, rows_of, before)),
            (nearest, rules.krum(five, bad=1)),
        ):
            np.testing.assert_allclose(own, theirs)
        assert (lengths > 0.1).any() and rules.sites_needed(rules.coordinate_median) == 3
        assert rules.sites_needed(rules.krum) == len(five)
        """,
    "A sum of which nobody sees the parts": """
        from helpers.combining import mask, unmask
        theirs = {"A": mask(answers[0], "A", {"B": 7}), "B": mask(answers[1], "B", {"A": 7})}
        assert (theirs["A"] == masked[0]).all() and (theirs["B"] == masked[1]).all()
        assert (unmask(theirs, ["A", "B"]) == total).all()
        np.testing.assert_allclose(total, answers[:2].sum(axis=0), atol=1e-8)
        """,
    "Pictures": """
        from helpers.plots import lines
        theirs = lines([1, 2, 4], {"measured": [8.0, 4.4, 2.5]}, xlabel="workers",
                       ylabel="seconds", title="Twice the workers, half the time").axes[0]
        assert (theirs.lines[0].get_xydata() == axes.lines[0].get_xydata()).all()
        assert theirs.get_xlabel() == axes.get_xlabel() == "workers"
        """,
    "What a scheduler costs": """
        from helpers.scaling import scheduler_seconds
        for seconds in (seconds_for_a_task, scheduler_seconds(1, n_tasks=200)):
            assert 0 < seconds < 1
        """,
    "At the end": "assert not folder.exists() and client.status == 'closed'",
}


def sections() -> dict[str, str]:
    """Return the page's blocks of code by the title of their section, up to its colon."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)[1:]
    blocks = {}
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        code = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        blocks[title.partition(":")[0]] = "\n".join(code)
    return blocks


def test_the_plain_lines_give_what_the_helpers_give(tmp_path):
    blocks = sections()
    assert list(blocks) == list(COMPARED), "every section is compared"
    body = [text for title, code in blocks.items()
            for text in (code, textwrap.dedent(COMPARED[title]))]  # fmt: skip
    script = "\n".join(["def main():", *(textwrap.indent(text, "    ") for text in body)])
    path = tmp_path / "plain.py"
    path.write_text(f"{script}\n\nif __name__ == '__main__':\n    main()\n", encoding="utf-8")
    run = subprocess.run([sys.executable, path], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr


@by_name(LESSONS)
def test_each_helper_of_a_lesson_is_named_with_its_plain_lines(path):
    cells = [cell.source for cell in read(path).cells if cell.cell_type == "code"]
    trees = [ast.parse(re.sub(r"^[%!].*$", "pass", text, flags=re.M)) for text in cells]
    used = {
        alias.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers.")
        for alias in node.names
    }
    assert used and {name for name in used if f"`{name}`" not in PAGE} == set()
