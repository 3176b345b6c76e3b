"""Each rule of rules.md that one line can show, and what stays allowed."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.rehearsal.__main__ import stage
from tests.rehearsal.faults import (
    ARROW,
    CLUSTERS,
    COLUMNS,
    CONCAT,
    FROM,
    IMPLICIT,
    JOIN,
    LOOP,
    NO_ARRAY,
    NO_LIST,
    ON_HOST,
    PARAMETER,
    ROWS,
    START,
    TOL,
)

if find_spec("cupy") or find_spec("cudf"):
    pytest.skip("RAPIDS is installed here; stand-ins would hide it", allow_module_level=True)

SETTING = """
import json, pickle, sys
import cudf, cuml, cupy, dask, numpy as np, pandas as pd, scipy.sparse
import dask.array as da, dask.dataframe as dd
from distributed import Client
from cuml.dask.cluster import KMeans as OnWorkers

dask.config.set({"dataframe.backend": "cudf", "array.backend": "cupy"})
client = Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None)
a, host = cupy.arange(6.0).reshape(3, 2), np.arange(6.0).reshape(3, 2)
plain = pd.DataFrame({"k": list("abcab"), "v": np.arange(5.0), "w": [1, 1, 2, 2, 3]})
t = cudf.from_pandas(plain)
lazy, frame = da.from_array(a, chunks=(2, 2)), dd.from_pandas(t, npartitions=2)
model = cuml.cluster.KMeans(n_clusters=2, init=a[:2]).fit(a)
of_array, of_table = (OnWorkers(n_clusters=2).fit(X) for X in (lazy, frame[["v", "w"]]))

def said(rule):
    try:
        return repr(eval(rule))
    except Exception as error:
        return f"{type(error).__name__}: {error}"

print(json.dumps({rule: said(rule) for rule in json.load(sys.stdin)}))
"""
RULES = {
    # refused
    "np.asarray(a)": IMPLICIT,
    "np.asarray(lazy)": IMPLICIT,
    "a + host": ON_HOST,
    "host * a": ON_HOST,
    "a + [1, 2]": "Unsupported type <class 'list'>",
    "cupy.where(a > 1, host, a)": ON_HOST,
    "(lazy + host).compute()": ON_HOST,
    "cupy.concatenate([a, host])": "Only cupy arrays can be concatenated",
    "cupy.array(['x'])": "ValueError: Unsupported dtype",
    "a.no_such_name": "has no attribute 'no_such_name'",
    "a.__setitem__(0, host[0])": "non-scalar numpy.ndarray cannot be used for fill",
    "[row for row in t['v']]": LOOP,
    "dict(t['v'].items())": LOOP,
    "sorted(t['k'])": LOOP,
    "t.index.tolist()": NO_LIST,
    "np.asarray(t)": NO_ARRAY,
    "t['v'] + plain['v']": "TypeError",
    "t['v'] + host[:, 0]": "TypeError",
    "t.merge(plain, on='k')": JOIN,
    "cudf.concat([t, plain])": CONCAT,
    "t['k'].values": "Unsupported dtype",
    "next(t.iterrows())": ROWS,
    "t['v'].__arrow_array__()": ARROW,
    "cudf.from_pandas(3)": FROM,
    "cuml.cluster.KMeans(tol=0).fit(a)": TOL,
    "cuml.cluster.KMeans(n_cluster=2)": "unexpected keyword argument 'n_cluster'",
    "cuml.cluster.KMeans().set_params(n_cluster=2)": PARAMETER,
    "cuml.cluster.KMeans(n_clusters=0).fit(a)": CLUSTERS,
    "cuml.linear_model.LinearRegression(n_jobs=2)": "unexpected keyword argument 'n_jobs'",
    "cuml.cluster.KMeans(2 * 4).fit(a)": "takes 1 positional argument",
    "cuml.cluster.KMeans(n_clusters=8).fit(a)": "n_samples=3 should be >= n_clusters=8",
    "model.predict(a[:, :1])": "expecting 2 features",
    "model.predict(cupy.full((1, 2), cupy.nan))": "Input X contains NaN.",
    "model.predict(scipy.sparse.eye(2).tocsr())": "Sparse",
    # allowed
    "a[np.array([2, 0]), 0].tolist()": "[4.0, 0.0]",
    "(a + np.float32(1))[0].get()": "array([1., 2.])",
    "type(a.sum()).__name__, a.sum().ndim": "('ndarray', 0)",
    "float(a[1, 0]), f'{a.max():.1f}'": "(2.0, '5.0')",
    "pickle.loads(pickle.dumps(a)).get().sum()": "15.0",
    "(lazy @ lazy.T).sum().compute().item()": "117.0",
    "[name for name in t]": "['k', 'v', 'w']",
    "type(t['v'].values).__module__": "'cupy'",
    "t['v'].to_pandas().tolist()": "[0.0, 1.0, 2.0, 3.0, 4.0]",
    "len(frame[frame['v'] > 1])": "3",
    "type(frame['v'].to_dask_array(lengths=True).compute()).__module__": "'cupy'",
    "model.labels_.dtype.name, type(model.predict(host)).__module__": "('int32', 'numpy')",
    "cuml.cluster.KMeans(n_clusters=2, init=a[1:], max_iter=1).fit(a).n_iter_": "2",
    "cuml.cluster.KMeans(n_clusters=2, init=a[1:], max_iter=9).fit(a).n_iter_": "2",
    # distributed: what comes is of the kind of what was fitted, on the device
    "type(of_array.labels_.compute()), of_array.labels_.chunks": "cupy.ndarray'>, ((2, 1),)",
    "type(of_array.cluster_centers_)": "cupy.ndarray",
    "type(of_array.predict(lazy).compute()), of_array.predict(lazy).chunks": "'>, ((nan, nan),)",
    "type(of_table.labels_.compute())": "cudf.Series",
    "type(of_table.cluster_centers_)": "cudf.DataFrame",
    "type(of_table.transform(frame[['v', 'w']]).compute())": "cudf.DataFrame",
    "len(of_array.get_combined_model().labels_) in (1, 2)": "True",
    "OnWorkers(n_clusters=2).fit(lazy.rechunk((2, 1)))": COLUMNS,
    "OnWorkers(n_clusters=2).fit(host)": "has no attribute 'chunks'",
    "OnWorkers(n_clusters=2, init='k-means++').fit(lazy)": START,
    "pickle.dumps(of_array)": "has no attribute 'result'",
    # in another order than pandas has
    "list(t.groupby('k')['v'].sum().to_pandas().index) == ['a', 'b', 'c']": "False",
    "list(t.groupby('k', sort=True)['v'].sum().to_pandas().index)": "['a', 'b', 'c']",
    "list(t.merge(t, on='k')['v_x'].to_pandas()) == sorted(plain['v'])": "False",
}


@pytest.fixture(scope="module")
def said():
    with stage():
        call = [sys.executable, "-c", SETTING]
        done = subprocess.run(call, input=json.dumps(list(RULES)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("rule", "words"), RULES.items(), ids=RULES)
def test_a_rule_is_kept(said, rule, words):
    assert words in said[rule]
