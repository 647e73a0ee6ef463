"""Logistic regression with a ridge, both classes of equal weight: the linear kernel machine of the face models."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fit_logistic(x: NDArray[np.floating], positive: NDArray[np.bool_], *, penalty: float = 1.0) -> tuple[Floats, float]:
    """Weights D and bias of `x` N D: the minimum of the mean loss of each class plus `penalty` |w|^2 / (2 N).

    Features are centred for the fit; the bias that is returned takes the centre back in.
    """
    from scipy.optimize import minimize

    centre = x.mean(axis=0, dtype=np.float64)
    data = x.astype(np.float64) - centre
    share = np.where(positive, 0.5 / max(1, positive.sum()), 0.5 / max(1, (~positive).sum()))  # N
    sign = np.where(positive, 1.0, -1.0)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights, bias = parameters[:-1], parameters[-1]
        margin = sign * (data @ weights + bias)
        slope = -share * sign / (1 + np.exp(margin.clip(-500, 500)))
        value = (share * np.logaddexp(0, -margin)).sum() + penalty * (weights @ weights) / (2 * len(data))
        return float(value), np.append(data.T @ slope + penalty * weights / len(data), slope.sum())

    solved = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return solved[:-1], float(solved[-1] - solved[:-1] @ centre)
