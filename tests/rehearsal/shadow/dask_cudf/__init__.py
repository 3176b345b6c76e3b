"""Found by the check of packages. Dask tables of cuDF are out of the reach of the rehearsal."""
