"""Committed corpora: one text file a target, one input a line in base64url without padding, sorted.

Usage: corpus.py unpack TARGET DIRECTORY     each line becomes a file
       corpus.py pack TARGET DIRECTORY       the files become the lines, shortest first, up to 100 KB
       corpus.py add TARGET FILE…            some more lines
"""

import base64
import hashlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent / "corpus"
MOST_BYTES = 100_000


def lines(target):
    path = HERE / f"{target}.b64"
    return path.read_text(encoding="ascii").splitlines() if path.exists() else []


def decoded(line):
    return base64.urlsafe_b64decode(line + "=" * (-len(line) % 4))


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def write(target, inputs):
    HERE.mkdir(exist_ok=True)
    (HERE / f"{target}.b64").write_text("".join(line + "\n" for line in sorted(set(inputs))), encoding="ascii")


def main(what, target, *paths):
    if what == "unpack":
        directory = Path(paths[0])
        directory.mkdir(parents=True, exist_ok=True)
        for line in lines(target):
            data = decoded(line)
            (directory / hashlib.sha1(data).hexdigest()).write_bytes(data)
    elif what == "pack":
        kept, size = [], 0
        for data in sorted((path.read_bytes() for path in Path(paths[0]).iterdir()), key=lambda data: (len(data), data)):
            line = encoded(data)
            size += len(line) + 1
            if size > MOST_BYTES:
                break
            kept.append(line)
        write(target, kept)
    elif what == "add":
        write(target, lines(target) + [encoded(Path(path).read_bytes()) for path in paths])
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
