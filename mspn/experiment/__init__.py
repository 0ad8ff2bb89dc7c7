"""What is run: scales, the grid of runs, their identities, the paper's figures. Imports no torch."""
