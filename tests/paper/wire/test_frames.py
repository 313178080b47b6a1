"""Frames, read back by an independent implementation of the protocol."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from vigil.paper.wire.frames import PONG, text_frame, whole_frame


def read(raw, window_bits=0):
    """The frames in `raw`, as a client reads them."""
    stream = StreamReader()
    stream.feed_data(raw)
    stream.feed_eof()
    deflate = PerMessageDeflate(False, False, window_bits or 15, 15)
    frames = []
    while True:
        parsing = Frame.parse(
            stream.read_exact, mask=False, extensions=[deflate] if window_bits else []
        )
        try:
            next(parsing)
        except StopIteration as done:
            frames.append(done.value)
        except EOFError:
            return frames
        else:
            raise AssertionError("a frame is not whole")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_a_frame_of_any_size_is_read_back(size):
    (frame,) = read(text_frame(b"x" * size))
    assert (frame.opcode, frame.data, frame.fin) == (Opcode.TEXT, b"x" * size, True)


def test_a_pong_echoes_its_payload():
    (frame,) = read(whole_frame(PONG, b"ping"))
    assert (frame.opcode, frame.data) == (Opcode.PONG, b"ping")


@given(st.lists(st.binary(max_size=2_000), min_size=1, max_size=5), st.integers(9, 15))
def test_deflated_frames_are_read_back_in_a_row(payloads, window_bits):
    raw = b"".join(text_frame(payload, window_bits) for payload in payloads)
    assert [bytes(frame.data) for frame in read(raw, window_bits)] == payloads


def test_deflating_is_worth_its_while():
    payload = b'{"jsonrpc":"2.0","method":"subscription"}' * 20
    assert len(text_frame(payload, 15)) < len(text_frame(payload)) / 5
    assert text_frame(b"short", 15) == text_frame(b"short")
