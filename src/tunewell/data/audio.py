"""Recordings as one channel at one sample rate; whatever is done to make them so is said."""

from __future__ import annotations

import math
import struct
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

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
SAMPLE_RATE = 16_000
"""What speech models are trained on, in Hz."""
MAX_SAMPLES = 1 << 28
"""Samples of all channels that are read from one file: 4 hours at 16 kHz, 1 GiB of memory."""
_BLOCK = 1 << 18
_RATES = range(1_000, 768_001)


def read_audio(path: Path, sample_rate: int = SAMPLE_RATE) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Return the recording in `path`, float32 (samples,) from -1 to 1, at `sample_rate` in Hz, and notes.

    Channels are averaged, other rates resampled by a polyphase filter; the notes say so. Raises `DataError` for a
    file that is no whole recording, holds no samples or more than `MAX_SAMPLES`.
    """
    samples, rate = _decoded(path)
    mono = samples.mean(axis=1, dtype=np.float32) if samples.shape[1] > 1 else samples[:, 0]
    notes = _notes(samples, rate, sample_rate)
    return (mono if rate == sample_rate else _resampled(mono, rate, sample_rate)), notes


def check_audio(place: Path, *, sample_rate: int = SAMPLE_RATE, skip_bad: bool = False) -> Collection:
    """Read every recording below the folder `place` (or the one file) and return what was found.

    Raises `DataError` with up to 20 bad files, unless `skip_bad` leaves them out.
    """
    _soundfile()  # else every file would be called bad
    files = files_in(place, SUFFIXES)
    rates: Counter[int] = Counter()
    seconds: list[float] = []

    def read(path: Path) -> tuple[None, list[str]]:
        samples, rate = _decoded(path)
        rates[rate] += 1
        seconds.append(len(samples) / rate)
        return None, _notes(samples, rate, sample_rate)

    bad, changes = read_each(files, read)
    facts = []
    if seconds:
        facts.append(f"{_hours(sum(seconds))} in all, the longest {_hours(max(seconds))}")
    if len(rates) > 1:
        shown = ", ".join(f"{count:,} at {rate:,} Hz" for rate, count in rates.most_common())
        facts.append(f"note: sample rates are mixed: {shown}")
    return collection("recordings", [str(path) for path in files], bad, changes, facts, skip_bad=skip_bad)


def _notes(samples: npt.NDArray[np.float32], rate: int, wanted: int) -> list[str]:
    """Return what is done to `samples`, (samples, channels), and whether there is anything to hear."""
    notes = []
    if samples.shape[1] > 1:
        notes.append(f"{samples.shape[1]} channels mixed to one")
    if rate != wanted:
        notes.append(f"{rate:,} Hz resampled to {wanted:,}")
    if not samples.any():
        notes.append("silent")
    return notes


def _soundfile() -> Any:
    """Return the module `soundfile`."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package is there, its library is not
        fix = "in tunewell's clone: pip install '.[speech]'"
        raise DataError(Problem("data", "recordings need the package `soundfile`", fix=fix)) from error
    return soundfile


def _decoded(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """Return the samples, float32 (samples, channels), and the rate in Hz."""
    if error := unreadable_file(path):
        raise error
    module = _soundfile()
    if missing := _missing_bytes(path):
        what = f"the recording is cut off: {missing:,} bytes less than it says"
        raise refused(path, what, "copy it again, or delete it")
    is_open = False
    try:
        # by a stream, not by name: libsndfile then tells the format by the content and not by the suffix
        with path.open("rb") as stream, module.SoundFile(stream) as file:
            is_open = True
            samples, rate, promised = _drained(file, path), int(file.samplerate), int(file.frames)
    except DataError:
        raise
    except (module.LibsndfileError, RuntimeError, ValueError, OSError) as error:
        reason = str(getattr(error, "error_string", error)).strip().removeprefix("Error : ").removesuffix(".")
        what = "the recording is cut off or damaged" if is_open else "this is no recording that can be read"
        fix = "copy it again" if is_open else "save it as WAV, FLAC, OGG or MP3"
        raise refused(path, f"{what}: {reason}", f"{fix}, or delete it") from error
    if not len(samples):
        raise refused(path, "the recording holds no samples", "record it again, or delete it")
    if len(samples) < promised:
        what = f"the recording is cut off: {len(samples):,} of {promised:,} samples can be read"
        raise refused(path, what, "copy it again, or delete it")
    if rate not in _RATES:
        raise refused(path, f"the sample rate is not possible: {rate:,} Hz", "save it with its true rate")
    if not np.isfinite(samples).all():
        raise refused(path, "the recording holds samples that are no numbers", "save it again, or delete it")
    return samples, rate


def _drained(file: Any, path: Path) -> npt.NDArray[np.float32]:
    """Return all samples; read in blocks, since a damaged header may promise more than there is memory for."""
    blocks: list[npt.NDArray[np.float32]] = []
    left = MAX_SAMPLES // max(1, file.channels)
    while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
        left -= len(block)
        if left < 0:
            what = f"the recording is too long: more than {MAX_SAMPLES:,} samples"
            raise refused(path, what, "cut it into several files")
        blocks.append(block)
    return np.concatenate(blocks) if blocks else np.empty((0, 1), np.float32)


def _missing_bytes(path: Path) -> int:
    """Return how many bytes a WAV file's data part lacks; libsndfile would silently read what is there."""
    with path.open("rb") as file:
        size = path.stat().st_size
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        while len(chunk := file.read(8)) == 8:
            name, length = chunk[:4], struct.unpack("<I", chunk[4:])[0]
            if name == b"data":
                streamed = length in (0, 0xFFFFFFFF, 0x7FFFFFFF)  # written before the length was known
                return 0 if streamed else max(0, file.tell() + length - size)
            file.seek(length + length % 2, 1)
    return 0


def _resampled(mono: npt.NDArray[np.float32], rate: int, wanted: int) -> npt.NDArray[np.float32]:
    from scipy.signal import resample_poly

    divisor = math.gcd(rate, wanted)
    found: npt.NDArray[np.float32] = resample_poly(mono, wanted // divisor, rate // divisor)
    return found.astype(np.float32, copy=False)


def _hours(seconds: float) -> str:
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:,.1f} s"
