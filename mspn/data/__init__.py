"""Data: annotations and boxes to crops to batches."""
