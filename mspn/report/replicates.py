"""Bootstrap replicates of AP over images."""

import numpy as np

from mspn.report.results import Evaluation, Results


def replicates(results: Results, evaluation: Evaluation, protocol: str, count: int) -> np.ndarray:
    raise NotImplementedError
