"""What is seen from aside, made straight."""

import cv2
import numpy as np
from numpy.typing import NDArray


def straightened(
    pixels: NDArray[np.uint8], corners: NDArray[np.floating], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """What lies between four corners (4, 2), clockwise from the top left one, in that size.

    `pixels` are (height, width, channels), corners x and y, the size width and height, all in px.
    """
    width, height = size
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(np.asarray(corners, np.float32), target)
    straight = cv2.warpPerspective(
        pixels, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(straight, np.uint8)
