"""What stands in for parts of kafka-python's network: the same answers as its own, for whatever comes."""

from __future__ import annotations

import selectors
import socket
from types import SimpleNamespace

import kafka.errors
import numpy as np
import pytest

from connectors.kafka.buffers import SMALL, Buffers
from connectors.kafka.transport import PIECE, Selector, _receive


@pytest.mark.parametrize("size", [1, 4096, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_everything_that_came_is_given_at_once(size: int) -> None:
    near, far = socket.socketpair()
    with near, far:
        for one in (near, far):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * PIECE)
        near.setblocking(False)
        sent = np.random.default_rng(size).bytes(size)
        far.settimeout(10)
        got, written = b"", 0
        while written < size:
            written += far.send(sent[written:])
            found, error = _receive(SimpleNamespace(_sock=near))
            assert error is None
            got += found
        assert got == sent
        assert _receive(SimpleNamespace(_sock=near)) == (b"", None)  # nothing has come since


def test_a_closed_connection_is_an_error_after_what_came_before() -> None:
    near, far = socket.socketpair()
    with near:
        near.setblocking(False)
        far.sendall(b"the last words")
        far.close()
        first, error = _receive(SimpleNamespace(_sock=near))
        assert first == b"the last words"
        if error is None:
            _, error = _receive(SimpleNamespace(_sock=near))
        assert isinstance(error, kafka.errors.KafkaConnectionError)


def test_the_selector_finds_what_is_registered_even_when_it_is_closed() -> None:
    near, far = socket.socketpair()
    with far, Selector() as ours, selectors.DefaultSelector() as theirs:
        for one in (ours, theirs):
            with pytest.raises(KeyError):
                one.get_key(near)
            one.register(near, selectors.EVENT_READ, "data")
            assert one.get_key(near).data == "data"
        near.close()
        assert ours.get_key(near) == theirs.get_key(near)
        for one in (ours, theirs):
            one.unregister(near)
            with pytest.raises((KeyError, ValueError)):
                one.get_key(near)


def test_memory_is_given_again_up_to_the_limit() -> None:
    buffers = Buffers(4 * SMALL)
    first = buffers.take(2 * SMALL)
    assert len(first) >= 2 * SMALL
    buffers.give(first)
    assert buffers.take(SMALL + 1) is first
    buffers.give(first)
    larger = buffers.take(len(first) + 1)
    assert larger is not first and len(larger) > len(first)
    buffers.give(larger)  # past the limit: left to the system
    assert buffers.take(len(first) + 1) is not larger
    assert buffers.take(SMALL) is not first  # so little is not kept
