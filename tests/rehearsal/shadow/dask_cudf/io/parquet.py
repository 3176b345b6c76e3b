"""Partitions of the device are written through Arrow."""

from dask.dataframe.io.parquet.arrow import ArrowDatasetEngine


class CudfEngine(ArrowDatasetEngine):
    """Dask takes it where partitions are cuDF's."""

    @classmethod
    def _pandas_to_arrow_table(cls, df, *args, **options):
        return super()._pandas_to_arrow_table(getattr(df, "_host", df), *args, **options)
