"""Images as RGB: what is converted is said, what is broken is named."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tunewell.data import images
from tunewell.data.images import check_images, read_image
from tunewell.problems import DataError

RED_LEFT = np.zeros((4, 6, 3), np.uint8)
RED_LEFT[:, :3] = (255, 0, 0)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def picture() -> Image.Image:
    return Image.fromarray(RED_LEFT)


def test_rgb_is_read_as_it_is(tmp_path):
    pixels, notes = read_image(save(tmp_path / "a.png", picture()))
    assert (pixels.dtype, pixels.shape, notes) == (np.uint8, (4, 6, 3), [])
    assert np.array_equal(pixels, RED_LEFT)


def transparent() -> Image.Image:
    image = picture().convert("RGBA")
    image.putalpha(0)
    return image


def palette_with_hole() -> Image.Image:
    image = picture().convert("P")
    image.info["transparency"] = image.getpixel((0, 0))
    return image


@pytest.mark.parametrize(
    ("image", "name", "note", "left"),
    [
        (picture().convert("P"), "a.png", "palette made RGB", (255, 0, 0)),
        (picture().convert("L"), "a.png", "grey made RGB", (76, 76, 76)),
        (picture().convert("1", dither=Image.Dither.NONE), "a.png", "black and white made RGB", (0, 0, 0)),
        (picture().convert("CMYK"), "a.tif", "CMYK made RGB", (255, 0, 0)),
        (transparent(), "a.png", "RGB with transparency laid on white", (255, 255, 255)),
        (transparent().convert("LA"), "a.png", "grey with transparency laid on white", (255, 255, 255)),
        (palette_with_hole(), "a.png", "palette with transparency laid on white", (255, 255, 255)),
        (Image.fromarray(np.full((4, 6), 0x8012, np.uint16)), "a.png", "16 bits a pixel made 8", (128,) * 3),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_other_modes_are_converted_and_told(tmp_path, image, name, note, left):
    pixels, notes = read_image(save(tmp_path / name, image))
    assert notes == [note]
    assert pixels.shape == (4, 6, 3)
    assert tuple(pixels[0, 0]) == left


def test_exif_turns_it_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned a quarter to the left
    pixels, notes = read_image(save(tmp_path / "a.png", picture(), exif=exif))
    assert notes == ["turned upright as EXIF says"]
    assert pixels.shape == (6, 4, 3)
    assert tuple(pixels[0, 0]) == (255, 0, 0)
    assert tuple(pixels[5, 0]) == (0, 0, 0)


def test_the_first_frame_is_taken(tmp_path):
    other = Image.fromarray(np.full((4, 6, 3), 9, np.uint8))
    path = save(tmp_path / "a.webp", picture(), save_all=True, append_images=[other], lossless=True)
    pixels, notes = read_image(path)
    assert notes == ["first frame of an animation taken"]
    assert np.array_equal(pixels, RED_LEFT)


@pytest.mark.parametrize("suffix", sorted(images.SUFFIXES))
def test_every_format_cut_off_is_named(tmp_path, suffix):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    whole = save(tmp_path / f"a{suffix}", noise).read_bytes()
    read_image(tmp_path / f"a{suffix}")
    for share in (0.05, 0.5, 0.8):
        (tmp_path / f"a{suffix}").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(DataError) as caught:
            read_image(tmp_path / f"a{suffix}")
        problem = caught.value.problems[0]
        assert problem.file == str(tmp_path / f"a{suffix}")
        assert problem.fix


def test_bombs_are_refused_by_their_header(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", picture())
    monkeypatch.setattr(images, "MAX_PIXELS", 23)
    with pytest.raises(DataError, match="too large: 6 × 4 pixels"):
        read_image(path)


def test_formats_that_start_programs_are_not_opened(tmp_path):
    path = save(tmp_path / "a.eps", picture())
    path = path.rename(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="no image that can be read"):
        read_image(path)


def test_numbers_without_a_range_are_refused(tmp_path):
    path = save(tmp_path / "a.tiff", Image.fromarray(np.ones((2, 2), np.float32)))
    with pytest.raises(DataError, match="no known range"):
        read_image(path)


def test_a_folder_is_told_whole(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/3.PNG", "dog/.hidden.png", "dog/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(save(tmp_path / "x.png", picture()).read_bytes())
    (tmp_path / "x.png").unlink()
    found = check_images(tmp_path)
    assert (found.kind, found.read, found.kept) == ("images", 3, 3)
    assert found.lines()[1:] == ["width 6, height 4 pixels", "by folder: cat 2, dog 1"]
    (tmp_path / "dog" / "3.PNG").write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty") as caught:
        check_images(tmp_path)
    assert "--skip-bad" in caught.value.problems[0].fix
    left = check_images(tmp_path, skip_bad=True)
    assert (left.read, left.kept) == (3, 2)
    assert left.dropped["the file is empty"].places == [str(tmp_path / "dog" / "3.PNG")]


def test_many_bad_files_are_counted(tmp_path):
    for i in range(30):
        (tmp_path / f"{i:02}.png").write_bytes(b"" if i % 2 else b"junk")
    with pytest.raises(DataError) as caught:
        check_images(tmp_path, skip_bad=True)  # none is left: skipping is no way out
    problems = caught.value.problems
    assert len(problems) == 20
    assert "15 this is no image that can be read, 15 the file is empty" in problems[-1].message
    assert "--skip-bad" not in problems[-1].fix


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    load = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "PIL":
            raise ImportError(name)
        return load(name, *rest, **more)

    path = save(tmp_path / "a.png", picture())
    monkeypatch.setattr(builtins, "__import__", refuse)
    for call in (read_image, check_images):
        with pytest.raises(DataError) as caught:
            call(path)
        assert "[vision]" in caught.value.problems[0].fix
