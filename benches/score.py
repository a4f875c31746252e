#!/usr/bin/env python3
"""Scores WAV files of `cargo bench --bench loss` against their reference: PESQ-NB (ITU-T P.862) in pieces of 8 s, aligned by us.

Needs the packages pesq and numpy from PyPI. One row per amount of loss: mean, smallest piece.
"""

import sys
import wave
from collections import defaultdict
from pathlib import Path

import numpy
from pesq import pesq

RATE, PIECE = 8_000, 8 * 8_000


def read(path):
    with wave.open(str(path)) as file:
        return numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(float)


def lag(reference, heard):
    """Samples by which `heard` comes later, at most 100 ms either way."""
    length = min(len(reference), len(heard), 20 * RATE)
    spectrum = numpy.fft.rfft(heard[:length], 2 * length) * numpy.conj(numpy.fft.rfft(reference[:length], 2 * length))
    correlation = numpy.fft.irfft(spectrum)
    window = list(range(800)) + list(range(-800, 0))
    return max(window, key=lambda place: correlation[place])


def main():
    folder = Path(sys.argv[1])
    reference = read(folder / "reference.wav")
    scores = defaultdict(list)
    for path in sorted(folder.glob("loss-*.wav")):
        heard = numpy.roll(read(path), -lag(reference, read(path)))
        for start in range(0, len(reference) - PIECE + 1, PIECE):
            pair = reference[start:start + PIECE], heard[start:start + PIECE]
            scores[path.name.split("-")[1]].append(pesq(RATE, *[part.astype("int16") for part in pair], "nb"))
    print("| loss, % | PESQ-NB, mean | smallest piece |\n|---|---|---|")
    for percent, found in sorted(scores.items()):
        print(f"| {int(percent)} | {numpy.mean(found):.2f} | {min(found):.2f} |")


if __name__ == "__main__":
    main()
