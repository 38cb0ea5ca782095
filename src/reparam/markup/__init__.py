"""Numbers and arrays → HTML and SVG that need nothing else: no server, no script, no file beside them."""

from reparam.markup.display import display_evaluation, display_progress, display_vae
from reparam.markup.html import Html, number, tag

__all__ = ["Html", "display_evaluation", "display_progress", "display_vae", "number", "tag"]
