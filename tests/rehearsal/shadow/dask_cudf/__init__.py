"""A stand-in for dask_cudf: what it registers with Dask, so that partitions are cuDF's."""

import cudf
import cupy
import dask.dataframe as dd
import numpy as np
import pandas as pd
import partd
from dask import config
from dask.array.dispatch import percentile_lookup
from dask.dataframe import (  # noqa: F401
    DataFrame,
    Index,
    Series,
    backends,
    core,
    dispatch,
    from_delayed,
    get_collection_type,
    read_csv,
    read_parquet,
)
from dask.dataframe.dask_expr import new_collection
from dask.dataframe.dask_expr._expr import ToBackend
from dask.dataframe.utils import make_meta_obj
from dask.sizeof import sizeof

__version__ = "26.10.02"
FRAMES = (cudf.DataFrame, cudf.Series, cudf.Index)
ROWS = (cudf.DataFrame, cudf.Series)


def through(call):
    """Let pandas' own function do it, and put the result on the device."""
    return lambda x, *args, **options: cudf._device(call(x._host, *args, **options))


for kind, collection in zip(FRAMES, (DataFrame, Series, Index), strict=True):
    get_collection_type.register(kind, lambda _, collection=collection: collection)
    core.get_parallel_type.register(kind, lambda _, collection=collection: collection)
dispatch.make_meta_dispatch.register(ROWS, lambda x, index=None: x.head(0))
dispatch.make_meta_dispatch.register(cudf.Index, lambda x, index=None: x[:0])
dispatch.meta_nonempty.register(FRAMES, through(dispatch.meta_nonempty))
dispatch.hash_object_dispatch.register(
    FRAMES, lambda x, index=True: dispatch.hash_object_dispatch(x._host, index=index)
)
dispatch.categorical_dtype_dispatch.register(FRAMES, cudf.CategoricalDtype)
dispatch.is_categorical_dtype_dispatch.register(
    FRAMES, lambda x: isinstance(x.dtype, pd.CategoricalDtype)
)
dispatch.tolist_dispatch.register(FRAMES[1:], lambda x: x.to_pandas().tolist())
dispatch.grouper_dispatch.register(ROWS, lambda x: pd.Grouper)
dispatch.union_categoricals_dispatch.register(
    FRAMES[1:], lambda xs, **options: pd.api.types.union_categoricals([x._host for x in xs])
)
sizeof.register(FRAMES, lambda x: sizeof(x._host))


@get_collection_type.register(cupy.ndarray)
def collection_of_arrays(meta):
    """Columns that became arrays are a Dask array with chunks of the device."""
    import dask.array as da
    from dask.array._array_expr._backends import create_array_collection

    def create(expr):
        array = create_array_collection(expr)
        return da.Array(array.dask, array.name, array.chunks, meta=expr._meta)

    return create


@dispatch.concat_dispatch.register(FRAMES)
def concat(dfs, axis=0, join="outer", uniform=False, filter_warning=True, **options):
    """Put partitions together."""
    return cudf.concat(dfs, axis=axis, ignore_index=options.get("ignore_index", False))


@dispatch.group_split_dispatch.register(ROWS)
def group_split(df, c, k, ignore_index=False):
    """Rows of each of the k outputs; c says which one a row goes to."""
    which = np.asarray(c.to_numpy() if hasattr(c, "to_numpy") else cupy.asnumpy(c))
    return {i: df.iloc[np.flatnonzero(which == i)] for i in range(k)}


@percentile_lookup.register((cudf.Series, cudf.Index))
def percentile(a, q, interpolation="linear"):
    """Quantiles on the host, for the borders of partitions."""
    return percentile_lookup(a._host, q, interpolation)


@dispatch.to_pyarrow_table_dispatch.register(cudf.DataFrame)
def to_table(df, preserve_index=None, **options):
    """An Arrow table, which a shuffle sends."""
    return df.to_arrow(preserve_index=preserve_index)


@dispatch.pyarrow_schema_dispatch.register(cudf.DataFrame)
def schema(df, preserve_index=None, **options):
    """Its schema."""
    return dispatch.meta_nonempty(df).to_arrow(preserve_index=preserve_index).schema


@dispatch.from_pyarrow_table_dispatch.register(cudf.DataFrame)
def from_table(meta, table, **options):
    """A table of the device, with the columns that were sent."""
    return cudf._device(dispatch.from_pyarrow_table_dispatch(meta._host, table))


@dispatch.partd_encode_dispatch.register(cudf.DataFrame)
def encode(_):
    """Partitions on disk are pickles."""
    import pickle

    def join(dfs):
        return cudf.concat(dfs) if dfs else cudf.DataFrame()

    return lambda store: partd.Encode(pickle.dumps, pickle.loads, join, store)


@make_meta_obj.register(object)
def meta_of_object(x, index=None):
    """Metadata from dicts, tuples, dtypes and scalars, as tables of the device where they are."""
    from dask.dataframe.backends import make_meta_object

    host = make_meta_object(x, index._host if isinstance(index, cudf.Frame) else index)
    return cudf._device(host)


backends.PandasBackendEntrypoint.to_backend_dispatch().register(
    FRAMES, lambda data, **options: data.to_pandas()
)


class ToCudf(ToBackend):
    """Partitions of the host go to the device, where they are read."""

    @staticmethod
    def operation(df, options):
        return df if isinstance(df, cudf.Frame) else cudf.from_pandas(df)

    def _simplify_down(self):
        return self.frame if isinstance(self.frame._meta, cudf.Frame) else None


def by_pandas(name):
    """The reader of pandas partitions, which then go to the device."""

    def read(*args, **options):
        with config.set({"dataframe.backend": "pandas"}):
            return CudfBackendEntrypoint.to_backend(getattr(dd, name)(*args, **options))

    return staticmethod(read)


class CudfBackendEntrypoint(backends.DataFrameBackendEntrypoint):
    """Dask asks it where ``dataframe.backend`` is cudf."""

    to_backend_dispatch = classmethod(lambda cls: None)
    read_csv, read_parquet, read_json, from_dict = map(
        by_pandas, ("read_csv", "read_parquet", "read_json", "from_dict")
    )

    @staticmethod
    def to_backend(data, **options):
        """The same collection with partitions of the device."""
        return new_collection(ToCudf(data, options))
