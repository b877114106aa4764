"""Guesses keys between two keys, from how the keys seen so far are written, so that a range can be split there.

A guess may be bad, then a request finds nothing; it can't be wrong, because whatever key it is, the keys up to it and the
keys after it are all keys. What does not belong here: ranges (``lister.py``).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from itertools import count, islice, takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIGITS, _HEX_LETTERS = "0123456789", 6
_LOWER, _UPPER = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DEPTH = 12
"""Varying characters that count: 12 digits number more objects than any bucket holds."""
_ENOUGH_MISSES = 4
"""Guesses of a character never seen at its place that may find nothing before only those seen there are expected."""

_ASCII_END, _SURROGATES = 0x80, range(0xD800, 0xE000)


class KeySpace:
    """The characters seen at each place of a key, and the order of keys as numbers that follows from them.

    Args:
        prefix: all keys start with it.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._seen: dict[int, set[str]] = {}
        self._alphabets: dict[int, str] = {}
        self._misses: Counter[int] = Counter()
        self._hints: list[str] = []

    def learn(self, keys: Iterable[str]) -> None:
        """Take note of keys that exist."""
        for key in keys:
            for place, character in enumerate(key):
                seen = self._seen.setdefault(place, set())
                if character not in seen:
                    seen.add(character)
                    self._misses.pop(place, None)
                    self._alphabets.clear()

    def missed(self, guess: str) -> None:
        """Take note that a guess found nothing.

        Folders that each number their files from zero all end at about the same number. Without this the end of each
        would be searched again: ``frame-5…``, ``frame-2…``, ``frame-1…``, ``frame-05…`` and so on.
        """
        place = next((place for place, one in enumerate(guess) if one not in self._seen.get(place, ())), None)
        if place is not None:
            self._misses[place] += 1
            if self._misses[place] == _ENOUGH_MISSES:
                self._alphabets.clear()

    def hint(self, keys: Iterable[str]) -> None:
        """Take note of good places to split, such as the beginnings of folders."""
        self._hints = sorted({*self._hints, *keys})

    def middle(self, low: str, high: str | None, *, in_folder: bool = False) -> str | None:
        """Return a key after ``low`` and before ``high`` (None: the end), about half way; None if none is in sight.

        Args:
            low: exists, or was a guess.
            high: likewise.
            in_folder: search the folder of ``low`` first. Between the names of two folders there are many names that no
                folder has, and each guess among them finds nothing.
        """
        if high is not None and low >= high:
            return None
        start = bisect_right(self._hints, low)
        end = len(self._hints) if high is None else bisect_left(self._hints, high)
        if start < end:
            return self._hints[(start + end) // 2]
        folder = low[: low.rfind("/") + 1]
        if in_folder and folder and not (high or "").startswith(folder):
            guess = self._half_way(low, None, self._places_from(len(folder)))
            if guess is not None and guess.startswith(folder) and _is_between(low, guess, high):
                return guess
        guess = self._half_way(low, high, self._places(low, high)) or _middle_by_code(low, high)
        return guess if _is_between(low, guess, high) else None

    def _half_way(self, low: str, high: str | None, places: list[int]) -> str | None:
        begin, stop = self._number(low, places), self._number(high, places)
        half = (begin + stop + 1) // 2
        # The shortest key near the middle: 05 rather than 049999, because folders and counters begin there.
        for size in range(1, len(places) + 1):
            guess = self._key(low, half, places, size)
            number = self._number(guess, places)
            if 8 * (number - begin) >= 3 * (stop - begin) and _is_between(low, guess, high):
                return guess
        return None

    def remaining(self, before: str, position: str, high: str | None) -> float:
        """Return how many times as wide as the way from ``before`` to ``position`` is what lies from there to ``high``."""
        places = self._places(before, high)
        walked = self._number(position, places) - self._number(before, places)
        ahead = self._number(high, places) - self._number(position, places)
        if ahead < 0:  # where it first differs, the end has a character that is not expected there: all below is ahead
            ahead = self._number(None, places) - self._number(position, places)
        return ahead / walked if walked > 0 else float("inf")

    def _places(self, low: str, high: str | None) -> list[int]:
        """Return the places where keys in between differ: after the prefix that they share, those that vary."""
        return self._places_from(len(self._prefix) if high is None else _shared(low, high))

    def _places_from(self, start: int) -> list[int]:
        varying = (place for place in range(start, len(self._seen)) if len(self._alphabet(place)) > 1)
        return list(islice(varying, _DEPTH))

    def _number(self, key: str | None, places: list[int]) -> int:
        """Return a key as a number whose digits are the ranks of its characters; None is greater than all."""
        number = 0
        for place in places:
            alphabet = self._alphabet(place)
            number *= len(alphabet) + 1
            if key is None:
                number += len(alphabet)
            elif place < len(key):
                number += bisect_right(alphabet, key[place])
        return number

    def _key(self, low: str, number: int, places: list[int], size: int) -> str:
        """Return the key of a number, as far as its first ``size`` varying places; what does not vary is as in ``low``."""
        ranks: list[int] = []
        for place in reversed(places):
            number, rank = divmod(number, len(self._alphabet(place)) + 1)
            ranks.append(rank)
        key = low[: places[0]]
        for place, rank in zip(places[:size], reversed(ranks), strict=False):
            if rank == 0:
                break
            key += "".join(map(self._alphabet, range(len(key), place))) + self._alphabet(place)[rank - 1]
        return key

    def _alphabet(self, place: int) -> str:
        """Return the characters to expect at a place, in order: those seen, and what goes with them where they vary."""
        if place not in self._alphabets:
            self._alphabets[place] = "".join(sorted(self._expected(place)))
        return self._alphabets[place]

    def _expected(self, place: int) -> set[str]:
        seen = self._seen.get(place, set())
        if self._misses[place] >= _ENOUGH_MISSES:
            return seen
        expected = set(seen)
        if self._is_in_varying_number(place):
            expected |= set(_DIGITS)
        for letters in (_LOWER, _UPPER):
            found = seen & set(letters)
            is_hex = found <= set(letters[:_HEX_LETTERS]) and not seen.isdisjoint(_DIGITS)
            if len(found) > 1 or (found and is_hex):
                expected |= set(letters[:_HEX_LETTERS] if is_hex else letters)
        return expected

    def _is_in_varying_number(self, place: int) -> bool:
        """Return whether a digit was seen here, and digits that differ here or in the same run of digits.

        The zeros of ``img_0000012`` will change though they have not yet; the date in ``2026-03-14/frame-12`` may well not.
        """
        return self._has_digits(place) and any(
            len(self._seen[near] & set(_DIGITS)) > 1
            for step in (-1, 1)
            for near in takewhile(self._has_digits, count(place, step))
        )

    def _has_digits(self, place: int) -> bool:
        return not self._seen.get(place, set()).isdisjoint(_DIGITS)


def _shared(low: str, high: str) -> int:
    """Return how many characters two keys begin with in common."""
    pairs = enumerate(zip(low, high, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(low), len(high)))


def _is_between(low: str, key: str, high: str | None) -> bool:
    return low < key and (high is None or key < high)


def _middle_by_code(low: str, high: str | None) -> str:
    """Return a key between two by the codes of their first characters that differ, where nothing is known of the keys."""
    shared = 0 if high is None else _shared(low, high)
    if high is not None and shared < len(low) and ord(high[shared]) - ord(low[shared]) <= 1:
        shared, high = shared + 1, None  # neighbours: what is between them begins like the lower one
    first = ord(low[shared]) if shared < len(low) else 0
    last = ord(high[shared]) if high is not None else max(_ASCII_END, first + 2)
    code = min((first + last + 1) // 2, 0x10FFFF)
    return low[:shared] + chr(_SURROGATES.stop if code in _SURROGATES else code)
