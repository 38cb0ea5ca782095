"""Pictures: a folder, a pattern, a file or a column of them → one array, decoded in place."""

from reparam.data.images.collection import pictured_bytes, read
from reparam.data.images.columns import in_table, picture_column
from reparam.data.images.finding import ENDINGS, Found, is_picture, pictures_at

__all__ = ["ENDINGS", "Found", "in_table", "is_picture", "picture_column", "pictured_bytes", "pictures_at", "read"]
