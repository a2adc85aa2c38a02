"""Numbers, texts and bytes one after another: how a stream's facts are laid out.

A number is a varint: 7 bits a byte, least first, the high bit set on all but the last. A text is
its length in bytes, then UTF-8.
"""

from __future__ import annotations


class Writer:
    """Collects fields."""

    def __init__(self) -> None:
        self._out = bytearray()

    def number(self, *values: int) -> None:
        """Append numbers from 0 on."""
        for value in values:
            while value > 127:
                self._out.append(value & 127 | 128)
                value >>= 7
            self._out.append(value)

    def text(self, value: str) -> None:
        """Append a text."""
        data = value.encode()
        self.number(len(data))
        self._out += data

    def raw(self, value: bytes) -> None:
        """Append bytes whose number the reader knows."""
        self._out += value

    def done(self) -> bytes:
        """All fields."""
        return bytes(self._out)


class Reader:
    """Gives fields back. Every method raises IndexError beyond the end, ValueError for what is no number or text."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self) -> int:
        """Next number."""
        value = shift = 0
        while shift < 70:
            byte = self.raw(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise ValueError("a number goes on beyond ten bytes")

    def numbers(self, count: int) -> tuple[int, ...]:
        """Next numbers."""
        return tuple(self.number() for _ in range(count))

    def text(self) -> str:
        """Next text."""
        return self.raw(self.number()).decode()

    def raw(self, count: int) -> bytes:
        """Next bytes."""
        if count > len(self._data) - self._at:
            raise IndexError(count)
        self._at += count
        return self._data[self._at - count : self._at]

    @property
    def rest(self) -> int:
        """Bytes not read."""
        return len(self._data) - self._at
