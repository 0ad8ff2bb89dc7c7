"""Networks: MSPN and its building blocks, and the table of every network by name."""
