"""Inputs of the bad-input cases that are made, not kept: models, images, recordings, a long line."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.reliability.tiny import make_tiny_bert

RATE = 16_000


def make(case: str, folder: Path, model: Path) -> None:
    """Put into `folder` what the case named `case` needs besides its kept files; `model` is a tiny BERT's folder."""
    (folder / "model").symlink_to(model, target_is_directory=True)
    if case in _MAKERS:
        _MAKERS[case](folder)


def _long_line(folder: Path) -> None:
    rows = [
        {"text": f"the {word} film", "label": label, "page": "<p>the film</p>" * (700_000 if i == 0 else 1)}
        for i, (word, label) in enumerate([("warm", "good"), ("dull", "bad"), ("rich", "good")])
    ]
    (folder / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _without_pad(folder: Path) -> None:
    model = _own_model(folder)
    path = model / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    del settings["pad_token"]
    path.write_text(json.dumps(settings))


def _few_embeddings(folder: Path) -> None:
    path = _own_model(folder) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "vocab_size": 12}))


def _own_model(folder: Path) -> Path:
    """Put a model of the case's own in place of the shared one."""
    (folder / "model").unlink()
    return make_tiny_bert(folder / "model")


def _truncated_images(folder: Path) -> None:
    from PIL import Image

    photos = _photos(folder)
    Image.fromarray(_picture()).save(photos / "whole.jpg")
    for name in ("cut.jpg", "cut.png", "cut.gif"):
        Image.fromarray(_picture()).save(photos / name)
        content = (photos / name).read_bytes()
        (photos / name).write_bytes(content[: len(content) // 2])
    (photos / "empty.png").touch()
    (photos / "page.jpg").write_text("<html>404: not found</html>")


def _colour_modes(folder: Path) -> None:
    from PIL import Image

    photos, picture = _photos(folder), Image.fromarray(_picture())
    picture.save(photos / "rgb.png")
    picture.convert("CMYK").save(photos / "cmyk.jpg")
    picture.convert("P").save(photos / "palette.png")
    picture.convert("L").save(photos / "grey.png")
    alpha = picture.convert("RGBA")
    alpha.putalpha(128)
    alpha.save(photos / "alpha.png")
    Image.fromarray(_picture()[:, :, 0].astype(np.uint16) * 257).save(photos / "deep.png")


def _odd_images(folder: Path) -> None:
    from PIL import Image

    photos, picture = _photos(folder), Image.fromarray(_picture())
    frames = [picture, picture.rotate(90), picture.rotate(180)]
    frames[0].save(photos / "animated.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6  # the orientation: turned a quarter to the right
    picture.save(photos / "rotated.jpg", exif=exif)
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + _chunk(b"IEND", b"")
    (photos / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _sample_rates(folder: Path) -> None:
    import soundfile

    recordings = _recordings(folder)
    for name, rate in (("a.wav", RATE), ("b.wav", 44_100), ("c.flac", 44_100), ("d.ogg", 8_000)):
        soundfile.write(recordings / name, _tone(rate), rate)
    soundfile.write(recordings / "stereo.wav", np.stack([_tone(RATE)] * 2, axis=1), RATE)


def _broken_audio(folder: Path) -> None:
    import soundfile

    recordings = _recordings(folder)
    soundfile.write(recordings / "good.wav", _tone(RATE), RATE)
    soundfile.write(recordings / "no_samples.wav", np.zeros(0), RATE)
    soundfile.write(recordings / "silent.wav", np.zeros(RATE // 10), RATE)
    (recordings / "empty.wav").touch()
    (recordings / "page.mp3").write_text("<html>404: not found</html>")
    for name in ("cut.wav", "cut.flac"):
        soundfile.write(recordings / name, _tone(RATE), RATE)
        content = (recordings / name).read_bytes()
        (recordings / name).write_bytes(content[: len(content) // 2])


def _disks(folder: Path) -> None:
    (folder / "read_only").mkdir()
    (folder / "full").mkdir()


def _changed_since(folder: Path) -> None:
    """Begin a run, leave it at its second update, then change a row, add one, and change a setting."""
    from tunewell.document import load_document
    from tunewell.records import Step
    from tunewell.training import driver

    document = load_document(folder / "recipe.yaml", [f"output_dir={folder / 'run'}"])
    records = driver.train(document.recipe, document.base)
    next(record for record in records if isinstance(record, Step) and record.step == 2)
    records.close()
    data = folder / "reviews.csv"
    data.write_text(data.read_text().replace("lovely", "superb", 1) + "the scene with rich music,good\n")
    recipe = folder / "run" / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "learning_rate: 2e-5\n")


def _photos(folder: Path) -> Path:
    (folder / "photos").mkdir()
    return folder / "photos"


def _recordings(folder: Path) -> Path:
    (folder / "recordings").mkdir()
    return folder / "recordings"


def _picture() -> np.ndarray:
    """Return 48 × 64 pixels of changing colour, uint8 (height, width, 3)."""
    down, across = np.mgrid[0:48, 0:64]
    return np.stack([down * 5, across * 4, (down * across) % 256], axis=2).astype(np.uint8)


def _tone(rate: int) -> np.ndarray:
    """Return a tenth of a second of 440 Hz, float64 (samples,)."""
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate // 10) / rate)


_MAKERS: dict[str, Callable[[Path], None]] = {
    "10_long_line": _long_line,
    "29_no_pad_token": _without_pad,
    "32_token_id_beyond_embeddings": _few_embeddings,
    "34_truncated_image": _truncated_images,
    "35_colour_modes": _colour_modes,
    "36_odd_images": _odd_images,
    "37_sample_rates": _sample_rates,
    "38_broken_audio": _broken_audio,
    "42_output_folder": _disks,
    "43_changed_since": _changed_since,
}
