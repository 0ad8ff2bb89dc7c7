"""Batches to weights: targets, losses, schedule, optimiser, the loop and its checkpoints."""
