"""Whose code is it, and what does it call things? Functions by convention, arguments by name."""
