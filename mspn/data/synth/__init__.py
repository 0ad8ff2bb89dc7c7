"""Synthetic pictures of persons, made on the spot: articulated, dressed, posed within limits, and labelled.

``make_dataset`` writes them in COCO's or MPII's layout; what each module draws is said in its first line.
"""

from mspn.data.synth.write import make_dataset

__all__ = ["make_dataset"]
