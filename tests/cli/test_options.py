"""How commands answer."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

from streams.commands.options import show_json


@dataclass(frozen=True)
class Answer:
    name: str
    values: tuple[object, ...]


def test_an_answer_is_one_document_whatever_numbers_are_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"one": Answer("a", (1, 1.5, float("nan"), np.float64("inf"), np.int64(3), None, True))})
    assert json.loads(capsys.readouterr().out) == {"one": {"name": "a", "values": [1, 1.5, None, None, 3, None, True]}}
