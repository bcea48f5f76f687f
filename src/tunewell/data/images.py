"""Images as arrays of red, green and blue; whatever is done to make them so is said."""

from __future__ import annotations

import struct
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunewell.data.collection import (
    Collection,
    collection,
    files_in,
    read_each,
    refused,
    unreadable_file,
)
from tunewell.problems import DataError, Problem

SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""Formats that are opened, by suffix: no others, since some, such as EPS, start programs of their own."""
MAX_PIXELS = 80_000_000
"""Larger images are taken for decompression bombs; a photo of a good camera has 20 to 60 million pixels."""
_ORIENTATION = 0x0112
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, OverflowError, struct.error)
"""What Pillow raises for broken files: it has no error of its own for them."""


def read_image(path: Path) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Return the picture in `path` as RGB, uint8 (height, width, 3), and notes on what was changed for it.

    Turned upright where EXIF says so; of an animation the first frame; laid on white where it is transparent.
    Raises `DataError` for a file that is no whole image or holds more than `MAX_PIXELS`.
    """
    if error := unreadable_file(path):
        raise error
    module = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of large images, whose size is looked at here, and of odd metadata
            with module.open(path, formats=tuple(set(SUFFIXES.values()))) as image:
                _refuse_bomb(image, path)
                return _decoded(image, path)
    except module.DecompressionBombError as error:
        raise _bomb(
            path, f"{int(''.join(filter(str.isdecimal, str(error).split(' pixels')[0]))):,} pixels"
        ) from error
    except module.UnidentifiedImageError as error:
        fix = f"save it as one of {', '.join(sorted(set(SUFFIXES.values())))}, or delete it"
        raise refused(path, "this is no image that can be read", fix) from error
    except DataError:
        raise
    except _BROKEN as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise refused(path, f"the image is cut off or damaged: {reason[0]}", "copy it again") from error


def check_images(place: Path, *, skip_bad: bool = False) -> Collection:
    """Read every image below the folder `place` (or the one file) and return what was found.

    Raises `DataError` with up to 20 bad files, unless `skip_bad` leaves them out.
    """
    _pillow()  # else every file would be called bad
    files = files_in(place, SUFFIXES)
    sizes: list[tuple[int, int]] = []

    def read(path: Path) -> tuple[None, list[str]]:
        pixels, notes = read_image(path)
        sizes.append(pixels.shape[:2])
        return None, notes

    bad, changes = read_each(files, read)
    facts = []
    if sizes:
        heights, widths = zip(*sizes, strict=True)
        facts.append(f"width {_range(widths)}, height {_range(heights)} pixels")
    folders = Counter(path.parent.name for path in files if path.parent != place)
    if folders:
        facts.append(
            "by folder: " + ", ".join(f"{name} {count:,}" for name, count in folders.most_common(20))
        )
    return collection("images", [str(path) for path in files], bad, changes, facts, skip_bad=skip_bad)


def _pillow() -> Any:
    """Return the module `PIL.Image`."""
    try:
        from PIL import Image
    except ImportError as error:
        fix = "in tunewell's clone: pip install '.[vision]'"
        raise DataError(Problem("data", "images need the package `pillow`", fix=fix)) from error
    return Image


def _refuse_bomb(image: Any, path: Path) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _bomb(path, f"{width:,} × {height:,} pixels")


def _bomb(path: Path, size: str) -> DataError:
    fix = f"at most {MAX_PIXELS:,} pixels are read; make it smaller if it is no trap"
    return refused(path, f"the image is too large: {size}", fix)


def _decoded(image: Any, path: Path) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Return the first frame of an opened image as RGB, and what was changed."""
    from PIL import Image, ImageOps

    notes = []
    if getattr(image, "is_animated", False):
        notes.append("first frame of an animation taken")
    image.load()
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
        notes.append("turned upright as EXIF says")
    if image.mode == "RGB" and "transparency" not in image.info:
        return np.asarray(image), notes
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.stack([grey] * 3, axis=2), [*notes, "16 bits a pixel made 8"]
    if image.mode in ("I", "F"):
        what = "the image holds numbers of no known range: 32 bits a pixel"
        raise refused(path, what, "save it with 8 bits a colour")
    name = _NAMES.get(image.mode, image.mode)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return np.asarray(white.convert("RGB")), [*notes, f"{name} with transparency laid on white"]
    return np.asarray(image.convert("RGB")), [*notes, f"{name} made RGB"]


_NAMES = {
    "1": "black and white",
    "L": "grey",
    "P": "palette",
    "LA": "grey",
    "La": "grey",
    "PA": "palette",
    "RGBA": "RGB",
    "RGBa": "RGB",
}
"""Pillow's names of modes that not everybody knows."""


def _range(values: tuple[int, ...]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
