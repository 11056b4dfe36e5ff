"""Reading files of data: rasters, NPY arrays, and what belongs to them."""
