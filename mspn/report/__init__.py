"""The report: the paper's tables and figures with this benchmark's own beside them. Imports no torch."""
