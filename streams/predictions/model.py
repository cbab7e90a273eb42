"""A trained model as files that execute nothing on load, with the digest that serving checks.

A model folder has `card.json` (what the columns are, the threshold) and `model.txt` (a LightGBM Booster as text) or `model.skops`
(scikit-learn, read with the fixed allow-list below, never with the list an artifact brings along).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streams.errors import ModelError
from streams.types import Schema, Type

CARD = "card.json"
LIGHTGBM = "model.txt"
SKOPS = "model.skops"

# Types outside skops' own trusted set that a scikit-learn model may hold. Each is plain data or a pure function.
ALLOWED = (
    "numpy.dtype",
    "numpy.random.mtrand.RandomState",
    "numpy.random._pickle.__randomstate_ctor",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss._loss.CyHalfSquaredError",
    "sklearn._loss._loss.CyHalfMultinomialLoss",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.compose._column_transformer._RemainderColsList",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Card:
    """What a model takes: `columns` in its own order; `categories[c]` are the words of a STRING column, whose codes it was fitted on."""

    kind: str  # lightgbm, sklearn
    columns: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    threshold: float = 0.5

    def text(self) -> str:
        value = {
            "kind": self.kind,
            "columns": list(self.columns),
            "categories": {name: list(words) for name, words in sorted(self.categories.items())},
            "threshold": self.threshold,
        }
        return json.dumps(value, sort_keys=True, indent=1) + "\n"

    @staticmethod
    def read(text: str) -> Card:
        value = json.loads(text)
        categories = {name: tuple(words) for name, words in value["categories"].items()}
        return Card(value["kind"], tuple(value["columns"]), categories, float(value["threshold"]))


class Model(Protocol):
    """A loaded model. `score` takes feature rows (any columns beyond its own are ignored) and gives one float64 a row."""

    @property
    def card(self) -> Card: ...

    def score(self, rows: pa.Table) -> Float64: ...


def numbers(column: pa.ChunkedArray, words: pa.Array | None) -> Float64:
    """A column as float64: NULL is NaN, a word its place in `words`, an unknown word NaN; times are milliseconds, a BIGINT is rounded."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if words is not None:
        array = pc.index_in(array.cast(pa.string()), value_set=words, skip_nulls=True)
    elif pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("ms")).cast(pa.int64())
    elif pa.types.is_date(array.type):
        array = array.cast(pa.date32()).cast(pa.int32())
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        raise ModelError("A text column reached a model that was fitted on numbers. Retrain with the features as they are now.")
    # BOOL goes over int8: Arrow casts no bool to double.
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


class BoosterModel:
    """LightGBM: one matrix of float64 a batch, codes for words, exactly as LightGBM itself encodes a pandas categorical."""

    def __init__(self, card: Card, text: str) -> None:
        import lightgbm

        self._card = card
        self._words = {name: pa.array(words, pa.string()) for name, words in card.categories.items()}
        try:
            self._booster = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise ModelError(f"{LIGHTGBM} is no LightGBM model: {error}") from error

    @property
    def card(self) -> Card:
        return self._card

    def score(self, rows: pa.Table) -> Float64:
        matrix = np.empty((rows.num_rows, len(self._card.columns)), dtype=np.float64)
        for place, name in enumerate(self._card.columns):
            matrix[:, place] = numbers(rows.column(name), self._words.get(name))
        if rows.num_rows == 0:
            return np.empty(0, np.float64)
        return np.asarray(self._booster.predict(matrix), dtype=np.float64)


class SklearnModel:
    """scikit-learn: a DataFrame a batch, with the categories of the training set."""

    def __init__(self, card: Card, path: Path) -> None:
        import skops.io

        self._card = card
        unknown = [name for name in skops.io.get_untrusted_types(file=path) if name not in ALLOWED]
        if unknown:
            raise ModelError(f"{path.name} holds {', '.join(sorted(unknown))}, which a model may not: it is not loaded.")
        self._model = skops.io.load(path, trusted=list(ALLOWED))

    @property
    def card(self) -> Card:
        return self._card

    def score(self, rows: pa.Table) -> Float64:
        if rows.num_rows == 0:
            return np.empty(0, np.float64)
        table = frame(rows.select(list(self._card.columns)), self._card.categories)
        try:
            if hasattr(self._model, "predict_proba"):
                return np.asarray(self._model.predict_proba(table)[:, 1], dtype=np.float64)
            return np.asarray(self._model.predict(table), dtype=np.float64)
        except Exception as error:  # whatever an estimator refuses a row for
            reason = str(error).partition("\n")[0].rstrip(".")
            raise ModelError(f"The model cannot score these rows: {type(error).__name__}: {reason}.") from error


def frame(rows: pa.Table, categories: Mapping[str, Sequence[str]]) -> Any:
    """Feature rows as the DataFrame a trainer and scikit-learn see: words as categoricals, numbers with NULL as NaN."""
    import pandas

    columns: dict[str, Any] = {}
    for name in rows.column_names:
        column = rows.column(name)
        if name in categories:
            codes = numbers(column, pa.array(categories[name], pa.string()))
            places = np.where(np.isnan(codes), -1, codes).astype(np.int64)
            columns[name] = pandas.Categorical.from_codes(places, categories=pandas.Index(list(categories[name]), dtype=object))
        elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            columns[name] = column.to_pandas()
        elif column.null_count or pa.types.is_floating(column.type):
            columns[name] = numbers(column, None)
        else:
            columns[name] = column.to_numpy()
    return pandas.DataFrame(columns)


def words_of(rows: pa.Table, schema: Schema) -> dict[str, tuple[str, ...]]:
    """The sorted distinct words of each STRING column."""
    names = [name for name in rows.column_names if schema.get(name) == Type.STRING]
    return {name: tuple(sorted(word for word in pc.unique(rows.column(name)).to_pylist() if word is not None)) for name in names}


def save(fitted: object, folder: Path, given: Sequence[str], categories: Mapping[str, Sequence[str]], threshold: float) -> Card:
    """Write what a trainer returned. `given` are the columns it was given; ModelError when it cannot be served."""
    folder.mkdir(parents=True, exist_ok=True)
    booster: Any = getattr(fitted, "booster_", fitted)
    kind = f"{type(fitted).__module__}.{type(fitted).__qualname__}"
    if type(booster).__module__.startswith("lightgbm"):
        names = tuple(str(name) for name in booster.feature_name())
        _only_given(names, given)
        used = {name: tuple(categories[name]) for name in names if name in categories}
        fitted_on = booster.pandas_categorical or []
        if [list(words) for words in used.values()] != [[str(word) for word in words] for words in fitted_on]:
            raise ModelError(
                "The LightGBM model was fitted on other categories than the columns have. Give the DataFrame's text columns to LightGBM as they "
                "are (pandas categoricals), or leave them out; codes of your own would differ when the model serves."
            )
        card = Card("lightgbm", names, used, threshold)
        (folder / LIGHTGBM).write_text(booster.model_to_string(), encoding="utf-8")
    elif type(fitted).__module__.startswith("sklearn"):
        import skops.io

        if not hasattr(fitted, "feature_names_in_"):
            raise ModelError(f"{kind} was not fitted on the DataFrame (it has no feature_names_in_). Call fit(features, labels).")
        names = tuple(str(name) for name in fitted.feature_names_in_)
        _only_given(names, given)
        card = Card("sklearn", names, {name: tuple(categories[name]) for name in names if name in categories}, threshold)
        skops.io.dump(fitted, folder / SKOPS)
    else:
        raise ModelError(f"train returned {kind}; a LightGBM Booster or LGBMClassifier, or a scikit-learn estimator, can be served.")
    (folder / CARD).write_text(card.text(), encoding="utf-8")
    _try_out(load(folder, digest(folder)))  # what cannot be read back, or stops at a NULL, is refused now, not when it should serve
    return card


def _try_out(model: Model) -> None:
    """Any event may lack a field, or bring a word that is new."""
    card = model.card
    empty = pa.table({name: pa.nulls(1, pa.string() if name in card.categories else pa.float64()) for name in card.columns})
    try:
        model.score(empty)
    except ModelError as error:
        raise ModelError(
            f"{error.message} Their features are NULL or words that are new, as any event's may be. Put SimpleImputer() first, and "
            'OneHotEncoder(handle_unknown="ignore"), or train a model that takes such rows (LightGBM does).'
        ) from error


def _only_given(names: Sequence[str], given: Sequence[str]) -> None:
    strange = [name for name in names if name not in given]
    if strange:
        raise ModelError(
            f"The model uses {', '.join(strange[:5])}, which the features do not have. Compute such columns in features.sql, so that serving has them too."
        )


def digest(folder: Path) -> str:
    """SHA-256 over the files that decide what a model answers, 64 hex digits. ModelError when there is none."""
    total = hashlib.sha256()
    found = [name for name in (CARD, LIGHTGBM, SKOPS) if (folder / name).is_file()]
    if len(found) != 2 or found[0] != CARD:
        raise ModelError(f"{folder} holds no model: {CARD} and one of {LIGHTGBM}, {SKOPS} should be there.")
    for name in found:
        total.update(f"{name} {hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def load(folder: Path, sha256: str) -> Model:
    """Check the digest, then load; ModelError says which of the two failed."""
    met = digest(folder)
    if met != sha256:
        raise ModelError(f"{folder.name}: the model's digest is {met[:12]}, the deployment names {sha256[:12]}. It is not loaded.")
    return _load(folder, met)


@lru_cache(maxsize=8)
def _load(folder: Path, sha256: str) -> Model:
    try:
        card = Card.read((folder / CARD).read_text(encoding="utf-8"))
    except (KeyError, ValueError) as error:
        raise ModelError(f"{folder / CARD} cannot be read: {error!r}") from error
    if card.kind == "lightgbm":
        return BoosterModel(card, (folder / LIGHTGBM).read_text(encoding="utf-8"))
    if card.kind == "sklearn":
        return SklearnModel(card, folder / SKOPS)
    raise ModelError(f"{folder / CARD} names the kind {card.kind!r}; lightgbm and sklearn are known.")
