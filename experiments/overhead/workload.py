"""The task that every measurement captures: four integers in, two floats out.

The values change from task to task, as those of a search do, and one task in a hundred obtains an accuracy
above 0.9. Peers capture the same values by their own means.
"""

from __future__ import annotations

DATAFLOW = "bench"
TRANSFORMATION = "training"
BEST = 0.9
"""One task in a hundred has an accuracy above this."""


def parameters(number: int) -> dict[str, int]:
    """Return what the task of a number uses: four hyperparameters."""
    return {
        "kernel_size": 1 + number % 7,
        "num_kernels": 8 + number % 57,
        "length_of_strides": 1 + number % 5,
        "pooling_size": 1 + number % 3,
    }


def results(number: int) -> dict[str, float]:
    """Return what the task of a number generates: an accuracy and a loss.

    >>> sum(results(number)["accuracy"] > BEST for number in range(1000))
    10
    """
    accuracy = (0.9 + 0.0001 * (1 + number % 900)) if number % 100 == 7 else 0.001 * (number % 900)
    return {"accuracy": accuracy, "loss": 1.0 / (1 + number)}
