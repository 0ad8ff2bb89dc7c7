"""Weights to joints to metrics: inference, decoding, protocols, pictures."""
