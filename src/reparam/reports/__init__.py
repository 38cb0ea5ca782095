"""A run told to a reader: figures that the page and the report share, the report, the comparison."""
