"""Data larger than memory: files are read part by part, surveyed once, and given out in chunks."""

from reparam.data.streaming.opening import STREAMED, Stream, stream
from reparam.data.streaming.passes import Passes
from reparam.data.streaming.surveying import Survey, survey

__all__ = ["STREAMED", "Passes", "Stream", "Survey", "stream", "survey"]
