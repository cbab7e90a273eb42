"""Trainers that misbehave: each ends with a message that says what was met and what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from streams.errors import ModelError, RunError
from streams.predictions.model import digest, frame, load, save, words_of
from streams.retraining.dataset import Dataset
from streams.retraining.train import Cancelled, Trainer, tail, train
from streams.types import Type
from tests.retraining.shop import wait

SCHEMA = {"amount": Type.DOUBLE, "country": Type.STRING}
HEAD = "def train(features, labels):\n"


def dataset(rows: int = 200) -> Dataset:
    rng = np.random.default_rng(0)
    amount = rng.normal(size=rows)
    table = pa.table({"amount": amount, "country": rng.choice(["de", "fr"], rows)})
    return Dataset(table, np.arange(rows, dtype=np.int64), amount > 0, np.arange(rows, dtype=np.int64))


def fit(folder: Path, body: str, timeout_s: float = 120, **named: object) -> Path:
    (folder / "train.py").write_text(HEAD + body)
    trainer = Trainer(folder, "train.py:train", SCHEMA, 0.5, timeout_s)
    return train(trainer, [dataset()], folder / "work", folder / "train.log", **named)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    return 1 / 0\n", "train raised ZeroDivisionError: division by zero"),
        ("    features.mean\n", "train returned nothing; return the fitted model"),
        ("    return 7\n", "train returned builtins.int; a LightGBM Booster"),
        ("    import sys; sys.exit(3)\n", r"train called sys.exit\(3\); return the fitted model instead"),
        ("    import os; os._exit(4)\n", "The trainer ended with code 4 before it returned"),
        ("    import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n", "ended by signal SIGKILL.*That is often memory"),
    ],
)
def test_a_trainer_that_misbehaves_is_told_of(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        fit(tmp_path, "    print('about to')\n" + body)
    assert "about to" in "\n".join(tail(tmp_path / "train.log")) or "os._exit" in body or "SIGKILL" in body


def test_a_trainer_that_never_returns_is_ended_with_what_it_started(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"did not return within 8 s \(\[retraining\] timeout\)"):
        fit(tmp_path, "    import time\n    print('on and on', flush=True)\n    time.sleep(1000)\n", timeout_s=8)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_trainer_ends_with_the_runner_that_is_killed(tmp_path: Path) -> None:
    body = "    import os, pathlib, time\n    pathlib.Path('pid').write_text(str(os.getpid()))\n    time.sleep(1000)\n"
    # not by multiprocessing, which would run this process's __main__ again, and a page's test has put another one there
    call = f"from pathlib import Path; from tests.retraining.test_train import fit; fit(Path({str(tmp_path)!r}), {body!r})"
    runner = subprocess.Popen([sys.executable, "-c", call], cwd=Path(__file__).parents[2])
    wait(lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()), [])
    runner.kill()
    runner.wait()
    trainer = int((tmp_path / "pid").read_text())
    wait(lambda: not Path(f"/proc/{trainer}").exists() or " Z " in Path(f"/proc/{trainer}/stat").read_text(), [], 20)


def test_a_run_can_be_cancelled_while_it_trains(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        fit(tmp_path, "    import time\n    time.sleep(1000)\n", cancelled=lambda: True)


def test_a_missing_file_and_function_are_named(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, "model.py:fit", SCHEMA, 0.5, 60)
    with pytest.raises(RunError, match=r"model.py: there is no such file"):
        train(trainer, [dataset()], tmp_path / "work", tmp_path / "log")
    (tmp_path / "model.py").write_text("def learn(features, labels): ...\n")
    with pytest.raises(RunError, match="model.py has no function 'fit'; it has learn"):
        train(trainer, [dataset()], tmp_path / "work", tmp_path / "log")


SKLEARN = """
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["country"]), remainder="passthrough")
    return make_pipeline(encode, SimpleImputer(), LogisticRegression()).fit(features, labels)
"""
LIGHTGBM = """
    import lightgbm
    return lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, min_data_in_leaf=5).fit(features, labels)
"""


@pytest.mark.parametrize(("column", "reason"), [("amount", "Input X contains NaN"), ("country", "Found unknown categories")])
def test_a_model_that_would_stop_at_a_row_is_refused(tmp_path: Path, column: str, reason: str) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    steps = [LogisticRegression()] if column == "amount" else [OneHotEncoder(), LogisticRegression()]
    words = words_of(dataset().rows, SCHEMA)
    fitted = make_pipeline(*steps).fit(frame(dataset().rows, words)[[column]], dataset().labels)
    with pytest.raises(ModelError, match=rf"cannot score these rows: ValueError: {reason}.*NULL or words that are new.*Put SimpleImputer"):
        save(fitted, tmp_path, list(SCHEMA), words, 0.5)


@pytest.mark.parametrize("body", [SKLEARN, LIGHTGBM])
def test_a_model_comes_back_as_files_that_execute_nothing(tmp_path: Path, body: str) -> None:
    folder = fit(tmp_path, body)
    found = digest(folder)
    model = load(folder, found)
    rows = dataset().rows
    scores = model.score(rows)
    assert ((scores > 0.5) == dataset().labels).mean() > 0.9
    assert model.card.columns == ("amount", "country")
    unseen = pa.table({"amount": pa.array([None, 1.0]), "country": pa.array(["xx", None], pa.string())})
    assert np.isfinite(model.score(unseen)).all()

    with pytest.raises(ModelError, match="the deployment names 000000000000"):
        load(folder, "0" * 64)
    card = folder / "card.json"
    card.write_text(card.read_text().replace("0.5", "0.9"))
    with pytest.raises(ModelError, match=f"the deployment names {found[:12]}"):
        load(folder, found)


def test_columns_of_the_trainers_own_are_refused(tmp_path: Path) -> None:
    body = "    import lightgbm\n    features['twice'] = features['amount'] * 2\n    return lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(features, labels)\n"
    with pytest.raises(RunError, match="The model uses twice, which the features do not have. Compute such columns in features.sql"):
        fit(tmp_path, body)
