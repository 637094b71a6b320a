"""Functions that reduce, scan or take differences along axes."""
