"""WebSocket frames of a server, as bytes: unmasked and whole, plain or deflated.

A frame is made once and written to all who get it. Deflated frames keep nothing from one to the
next, so that they can be shared as well, and suit clients that forbid to.
Source: RFC 6455, section 5.2; RFC 7692, section 7.2.1.
"""

import zlib

TEXT, PONG = 0x1, 0xA

_FINAL, _COMPRESSED = 0x80, 0x40
_DEFLATE_TAIL = b"\x00\x00\xff\xff"
# Below this a deflated frame is hardly smaller.
_DEFLATED_BYTES_MIN = 128


def whole_frame(opcode: int, payload: bytes) -> bytes:
    """A frame as it is."""
    return _framed(_FINAL | opcode, payload)


def text_frame(payload: bytes, window_bits: int = 0) -> bytes:
    """A text frame, deflated where `window_bits` were agreed on and it is worth its while."""
    if not window_bits or len(payload) < _DEFLATED_BYTES_MIN:
        return whole_frame(TEXT, payload)
    deflate = zlib.compressobj(zlib.Z_BEST_SPEED, zlib.DEFLATED, -window_bits)
    deflated = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return _framed(_FINAL | _COMPRESSED | TEXT, deflated.removesuffix(_DEFLATE_TAIL))


def _framed(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload
