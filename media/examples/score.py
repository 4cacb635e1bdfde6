#!/usr/bin/env python3
"""Scores what `sound` (or another receiver) has heard with PESQ, and prints the table of media/README.md.

score.py FOLDER [OTHER ...]: FOLDER is what `sound` wrote; each OTHER holds WAV files of the same names
from another receiver on the same networks, and gets columns of its own.
"""

import collections
import csv
import os
import sys
import wave
from concurrent.futures import ProcessPoolExecutor

import numpy
import pesq


def read(path):
    with wave.open(path) as file:
        data = numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return data[:: file.getnchannels()], file.getframerate()


def at_rate(sound, rate):
    """Brings it from a multiple of the rate to the rate, by leaving out what is above."""
    data, now = sound
    if now % rate:
        raise SystemExit(f"{now} Hz are no multiple of {rate}")
    length = len(data) * rate // now
    data = numpy.fft.irfft(numpy.fft.rfft(data)[: length // 2 + 1], length) * length / len(data)
    return numpy.clip(numpy.rint(data), -32768, 32767).astype("<i2"), rate


def score(job):
    reference, heard = (read(path) for path in job)
    if heard[1] != reference[1]:
        heard = at_rate(heard, reference[1])
    mode = "nb" if reference[1] == 8000 else "wb"
    return pesq.pesq(reference[1], reference[0], heard[0], mode, on_error=1)


def main():
    folder, others = sys.argv[1], sys.argv[2:]
    with open(os.path.join(folder, "cases.tsv")) as file:
        cases = list(csv.DictReader(file, delimiter="\t"))
    jobs, keys = [], []
    for case in cases:
        codec, network, _seed = case["case"].split(".")
        reference = os.path.join(folder, f"reference-{case['rate']}.wav")
        for place in [folder, *others]:
            path = os.path.join(place, case["case"] + ".wav")
            if os.path.exists(path):
                jobs.append((reference, path))
                keys.append((network, codec, place, float(case["delay_ms"])))
    found = collections.defaultdict(list)
    delays = collections.defaultdict(list)
    with ProcessPoolExecutor() as pool:
        for (network, codec, place, delay), value in zip(keys, pool.map(score, jobs, chunksize=4)):
            found[network, codec, place].append(value)
            if place == folder:
                delays[network, codec].append(delay)
    codecs = list(dict.fromkeys(codec for _, codec, _ in found))
    places = [folder, *others]
    head = [f"{codec}{'' if place == folder else ', ' + os.path.basename(place)}" for codec in codecs for place in places]
    print("| network | " + " | ".join(head) + " | delay, ms |")
    print("|---|" + "--:|" * (len(head) + 1))
    for network in dict.fromkeys(network for network, _, _ in found):
        row = []
        for codec in codecs:
            for place in places:
                values = [value for value in found.get((network, codec, place), []) if value > 0]
                row.append(f"{sum(values) / len(values):.2f}" if values else "")
        delay = [value for codec in codecs for value in delays.get((network, codec), [])]
        print(f"| {network} | " + " | ".join(row) + f" | {sum(delay) / max(len(delay), 1):.0f} |")


if __name__ == "__main__":
    main()
