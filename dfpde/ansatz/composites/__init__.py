"""Ansätze made of others: sums, products, stacks, symmetries, transforms."""
