"""Variational autoencoders whose numbers can be defended."""
