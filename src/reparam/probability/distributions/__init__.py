"""The distributions that numpyro lacks, or has with numerics that fail our tests."""
