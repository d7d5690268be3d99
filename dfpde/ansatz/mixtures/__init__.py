"""Mixtures: Gaussians, periodic ones, wave packets."""
