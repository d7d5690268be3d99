"""Ansätze whose derivatives a library for automatic differentiation computes."""
