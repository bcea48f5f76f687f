"""Recordings as one channel at one rate: what is changed is said, what is broken is named."""

from __future__ import annotations

import builtins
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tunewell.data import audio
from tunewell.data.audio import check_audio, read_audio
from tunewell.problems import DataError

RATE = 16_000


def tone(rate: int, seconds: float = 0.5, frequency: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def save(path: Path, samples: np.ndarray, rate: int = RATE, **options: Any) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.mark.parametrize("suffix", audio.SUFFIXES)
def test_every_format_is_read(tmp_path, suffix):
    mono, notes = read_audio(save(tmp_path / f"a{suffix}", tone(RATE)))
    assert (mono.dtype, mono.ndim, notes) == (np.float32, 1, [])
    assert abs(len(mono) - RATE // 2) <= 1152  # a frame of MP3
    assert 0.4 < np.abs(mono).max() < 0.6


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_other_rates_are_resampled(tmp_path, rate):
    mono, notes = read_audio(save(tmp_path / "a.wav", tone(rate), rate))
    assert notes == [f"{rate:,} Hz resampled to 16,000"]
    assert abs(len(mono) - RATE // 2) <= 1
    inner = slice(1000, 7000)  # the filter rings at the ends
    assert np.abs(mono - tone(RATE)[: len(mono)])[inner].max() < 0.01


def test_what_a_lower_rate_cannot_hold_is_filtered_out(tmp_path):
    mono, _ = read_audio(save(tmp_path / "a.wav", tone(44_100, frequency=12_000), 44_100))
    assert np.abs(mono[1000:7000]).max() < 0.01


def test_channels_are_averaged_and_silence_is_told(tmp_path):
    stereo = np.stack([tone(RATE), -tone(RATE)], axis=1)
    mono, notes = read_audio(save(tmp_path / "a.wav", stereo))
    assert notes == ["2 channels mixed to one"]
    assert np.abs(mono).max() < 1e-4
    assert read_audio(save(tmp_path / "b.wav", np.zeros(100)))[1] == ["silent"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "the file is empty"), (b"<html>", "no recording that can be read: Format not recognised")],
)
def test_no_recording(tmp_path, content, message):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_audio(tmp_path / "a.wav")


def test_no_samples(tmp_path):
    with pytest.raises(DataError, match="holds no samples"):
        read_audio(save(tmp_path / "a.wav", np.zeros(0)))


def test_not_a_number(tmp_path):
    samples = tone(RATE)
    samples[5] = np.nan
    with pytest.raises(DataError, match="no numbers"):
        read_audio(save(tmp_path / "a.wav", samples, subtype="FLOAT"))


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_off(tmp_path, suffix, share):
    path = save(tmp_path / f"a{suffix}", tone(RATE))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match="cut off") as caught:
        read_audio(path)
    assert caught.value.problems[0].file == str(path)


def test_a_streamed_wav_does_not_know_its_length(tmp_path):
    path = save(tmp_path / "a.wav", tone(RATE))
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    assert len(read_audio(path)[0]) == RATE // 2


def test_length_is_bounded(tmp_path, monkeypatch):
    path = save(tmp_path / "a.flac", np.zeros((RATE, 2)))
    monkeypatch.setattr(audio, "MAX_SAMPLES", 2 * RATE - 1)
    with pytest.raises(DataError, match="too long"):
        read_audio(path)


def test_a_folder_is_told_whole(tmp_path):
    save(tmp_path / "a.wav", tone(RATE))
    save(tmp_path / "b.flac", tone(8000), 8000)
    (tmp_path / "c.mp3").touch()
    with pytest.raises(DataError, match="the file is empty"):
        check_audio(tmp_path)
    found = check_audio(tmp_path, skip_bad=True)
    assert found.lines() == [
        "3 recordings read, 2 of them can be used",
        f"  left out, the file is empty: 1 ({tmp_path}/c.mp3)",
        f"  8,000 Hz resampled to 16,000: 1 ({tmp_path}/b.flac)",
        "1.0 s in all, the longest 0.5 s",
        "note: sample rates are mixed: 1 at 16,000 Hz, 1 at 8,000 Hz",
    ]


def test_without_soundfile_the_extra_is_named(tmp_path, monkeypatch):
    load = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name == "soundfile":
            raise OSError("sndfile library not found")
        return load(name, *rest, **more)

    path = save(tmp_path / "a.wav", tone(RATE))
    monkeypatch.setattr(builtins, "__import__", refuse)
    for call in (read_audio, check_audio):
        with pytest.raises(DataError) as caught:
            call(path)
        assert "[speech]" in caught.value.problems[0].fix
