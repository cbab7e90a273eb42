"""What `driftline up` refuses before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.cli import main
from streams.predictions.model import CARD, Card
from streams.predictions.store import place
from streams.project import load_project
from streams.promotion.desired import Deployments, Desired
from streams.supervisor.init import init


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("features.sql", "avg(amount) OVER card_1d", "avg(amuont) OVER card_1d", ["features.sql:", "amuont", "amount"]),
        ("features.sql", "FROM payments", "FROM paymnts", ["features.sql:", "paymnts"]),
        ("features.sql", "card_payments_1d", "card_payments_1h", ["features.sql: met 2 columns called card_payments_1h"]),
        ("features.sql", "card_payments_1d", "_offset", ["features.sql: met a column called _offset"]),
        (
            "driftline.toml",
            'value = "charged_back"',
            'value = "charged > 1"',
            ["[model] labels: value = 'charged > 1' is no condition over chargebacks"],
        ),
        ("train.py", "def train(", "def trian(", ["train.py has no 'train'. Did you mean 'trian'?"]),
        ("train.py", "import lightgbm", "import lightgbm as", ["train.py:3:"]),
        ("driftline.toml", 'train = "train.py:train"', 'train = "trian.py"', ["trian.py: there is no such file"]),
    ],
)
def test_a_project_that_cannot_run_is_refused(
    file: str, old: str, new: str, says: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shop"
    init(folder)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(SystemExit, match="1"):
        main(["up", str(folder)])
    said = capsys.readouterr().err
    assert all(words in said for words in says), said
    assert "Traceback" not in said
    assert not (folder / ".driftline" / "broker.json").exists(), "nothing was started"


def test_a_column_that_the_champion_takes_is_not_taken_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "shop"
    init(folder)
    project = load_project(folder)
    card = place(project, 3) / CARD
    card.parent.mkdir(parents=True)
    card.write_text(Card("lightgbm", ("card_payments_1d", "card_payments_9d"), {}).text())
    Deployments.of(project).write(Desired(project.name, 3, "0" * 64, by="ann"), "Promote version 3")
    with pytest.raises(SystemExit, match="1"):
        main(["up", str(folder)])
    said = " ".join(capsys.readouterr().err.split())
    assert "Version 3, which serves, could not go on. The model takes card_payments_9d, which features.sql no longer gives." in said
    assert "drop it in train.py, retrain, promote" in said
    assert not (folder / ".driftline" / "broker.json").exists(), "nothing was started"
