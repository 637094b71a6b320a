"""The transforms: reverse and forward accumulation, one interpreter over the op table a file; none knows the others."""
