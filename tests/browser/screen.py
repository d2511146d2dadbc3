"""What is really on the screen, and what a slice should look like there."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page
from pydicom import Dataset
from pydicom.pixels import apply_rescale

Grey = NDArray[np.float64]


def shown(page: Page, index: int) -> Grey:
    """Screenshot of the viewport, in grey, once image `index` (from 0) is drawn; words over the image taken away."""
    page.wait_for_selector(f".canvas-host[data-state=shown][data-index='{index}']")
    page.evaluate(
        "for (const each of document.querySelectorAll('.overlay, .progress')) each.style.visibility = 'hidden'"
    )
    picture = Image.open(BytesIO(page.locator(".canvas-host").screenshot()))
    page.evaluate("for (const each of document.querySelectorAll('.overlay, .progress')) each.style.visibility = ''")
    return np.asarray(picture.convert("L"), dtype=np.float64)


def expected(image: Dataset, height: int, width: int) -> Grey:
    """The slice through its stored window, fitted into a viewport of this size, on black (square pixels)."""
    values = np.asarray(apply_rescale(image.pixel_array, image), dtype=np.float64)
    lower = float(image.WindowCenter) - 0.5 - (float(image.WindowWidth) - 1) / 2
    grey = np.clip((values - lower) / (float(image.WindowWidth) - 1), 0, 1) * 255
    rows, columns = grey.shape
    scale = min(height / rows, width / columns)
    size = (round(columns * scale), round(rows * scale))
    fitted = Image.fromarray(grey.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    canvas = np.zeros((height, width))
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = np.asarray(fitted)
    return canvas


def looks_like(screen: Grey, wanted: Grey) -> bool:
    """True when the screen shows that picture: mean difference under 4 of 255 grey values and correlation over 0.99."""
    difference = float(np.abs(screen - wanted).mean())
    if screen.std() < 1 or wanted.std() < 1:
        return False
    correlation = float(np.corrcoef(screen.ravel(), wanted.ravel())[0, 1])
    return difference < 4 and correlation > 0.99
