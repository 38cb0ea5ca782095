"""How fast VAEs train: reparam beside loops written by hand, libraries, and the matrix products alone."""
