"""MSPN: a reproducible benchmark of multi-stage networks for human pose estimation."""

__version__ = "0.1.0"
