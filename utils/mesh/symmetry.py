"""The ways in which an object may stand on its base without leaning: quarter turns about +y, and mirror images."""
import numpy as np

QUARTER_TURN = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # takes the front (+z) to +x
MIRROR_X = np.diag([-1.0, 1.0, 1.0])


def quarter_turn(count: int) -> np.ndarray:
    """(3, 3) float64 rotation about +y by `count` quarter turns; one takes the front (+z) to the left side (+x)."""
    return np.linalg.matrix_power(QUARTER_TURN, int(count) % 4)


def standing_symmetries() -> list[np.ndarray]:
    """The eight ways in which one object may stand in two files: quarter turns about +y, each mirrored in x or not.

    Returns:
        list of (3, 3) float64, the identity first, for `vertices @ matrix.T`.
    """
    turns = [quarter_turn(count) for count in range(4)]
    return turns + [turn @ MIRROR_X for turn in turns]
