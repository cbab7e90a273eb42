"""What kafka-python does for each piece that comes from the network, in fewer and cheaper steps."""

from __future__ import annotations

import selectors
from typing import Any

import kafka.errors
from kafka.net.transport import KafkaTCPTransport

PIECE = 256 << 10  # bytes


class Selector(selectors.DefaultSelector):  # type: ignore[misc,unused-ignore,valid-type]
    """For kafka-python's setting `selector`. It asks before each wait whether a socket is registered, and the answer of the standard
    library's is an error with two texts of the socket, each of which asks the system for its addresses."""

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """KeyError where it is not registered."""
        return self._fd_to_key[self._fileobj_lookup(fileobj)]  # type: ignore[no-any-return,attr-defined,unused-ignore]


def _receive(self: KafkaTCPTransport) -> tuple[bytes, Exception | None]:
    """All that has come, and what ended the connection; as the method it stands in for."""
    pieces: list[bytes] = []
    ended = None
    while True:
        try:
            piece = self._sock.recv(PIECE)
        except (BlockingIOError, InterruptedError):
            break
        except OSError as error:
            ended = kafka.errors.KafkaConnectionError(error)
            break
        pieces.append(piece)
        if not piece:
            ended = kafka.errors.KafkaConnectionError("the broker has closed the connection")
        if len(piece) < PIECE:  # nothing more is there; asking would only be told so
            break
    return b"".join(pieces), ended


def read_large_pieces() -> None:
    """For every plain connection from now on."""
    KafkaTCPTransport._sock_recv = _receive
