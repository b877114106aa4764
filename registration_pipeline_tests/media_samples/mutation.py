"""Hostile files, made from good ones: cut, flipped, spliced, and with lengths that no file has.

What does not belong here: the good ones, and what is expected of a probe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

_LENGTHS: Final = (
    *(0, 1, 2**31 - 1, 2**31, 2**32 - 1),
    *(2**63 - 1, 2**63, 2**64 - 1),
)

_TOKENS: Final = (
    *(b"moov", b"moof", b"mdat", b"trak", b"stts", b"trun", b"IHDR", b"eXIf", b"IDAT", b"VP8X", b"meta", b"ispe"),
    *(
        b"\xff\xe1",
        b"\xff\xc0",
        b"\xff\xda",
        b"\x1f\x43\xb6\x75",
        b"\x18\x53\x80\x67",
        b"ID3",
        b"Xing",
        b"fLaC",
        b"data",
    ),
    *(b"/Prev", b"/Pages", b"/Kids", b"/Count", b"/XRef", b"/Length", b"startxref", b"endobj", b"1 0 R", b"%%EOF"),
    *(b"\x52\x00\x30\x92", b"\xfe\xff\x00\xe0", b"\xff\xff\xff\xff"),
)


def mutated(content: bytes, others: list[bytes], random: Random) -> bytes:
    """Return a file that is like another one, with one to four changes.

    Args:
        content: a good file.
        others: to splice parts from.
        random: decides.
    """
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        _CHANGES[random.randrange(len(_CHANGES))](changed, others, random)
        if not changed:
            break
    return bytes(changed)


def _place(content: bytearray, random: Random) -> int:
    """Return a place, more often near the beginning, where headers are."""
    limit = random.choice((64, 512, len(content), len(content)))
    return random.randrange(max(min(limit, len(content)), 1))


def _cut(content: bytearray, _: list[bytes], random: Random) -> None:
    del content[_place(content, random) :]


def _flip(content: bytearray, _: list[bytes], random: Random) -> None:
    for _number in range(random.choice((1, 3, 20))):
        if content:
            content[_place(content, random)] ^= 1 << random.randrange(8)


def _fill(content: bytearray, _: list[bytes], random: Random) -> None:
    at = _place(content, random)
    length = random.choice((1, 4, 16, 200))
    content[at : at + length] = random.choice((b"\0", b"\xff", bytes([random.randrange(256)]))) * length


def _lengthen(content: bytearray, _: list[bytes], random: Random) -> None:
    """Write a length where one may be: of two to eight bytes, in either order."""
    at, size = _place(content, random), random.choice((2, 4, 4, 8))
    value = random.choice(_LENGTHS) & (1 << 8 * size) - 1
    content[at : at + size] = value.to_bytes(size, random.choice(("big", "little")))


def _number(content: bytearray, _: list[bytes], random: Random) -> None:
    """Write a number as text where one is, as PDF files have them."""
    digits = [at for at in range(_place(content, random), len(content)) if chr(content[at]).isdigit()][:1]
    for at in digits:
        content[at : at + 1] = str(random.choice((-1, 0, *_LENGTHS))).encode()


def _splice(content: bytearray, others: list[bytes], random: Random) -> None:
    other = random.choice(others)
    start = random.randrange(max(len(other), 1))
    at = _place(content, random)
    content[at : at + random.choice((0, 100))] = other[start : start + random.randrange(1, 2_000)]


def _repeat(content: bytearray, _: list[bytes], random: Random) -> None:
    at = _place(content, random)
    part = bytes(content[at : at + random.randrange(1, 300)])
    content[at:at] = part * random.choice((1, 10, 100))


def _insert(content: bytearray, _: list[bytes], random: Random) -> None:
    at = _place(content, random)
    content[at : at + random.choice((0, 4))] = random.choice(_TOKENS)


_CHANGES: Final = (_cut, _flip, _flip, _fill, _lengthen, _lengthen, _number, _splice, _repeat, _insert)
