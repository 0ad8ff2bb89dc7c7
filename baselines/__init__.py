"""Comparison networks: Hourglass, single-stage networks and others, built from mspn's blocks."""
