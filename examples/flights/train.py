"""Gradient-boosted trees for `will this flight land more than 15 minutes late?`."""

from __future__ import annotations

import lightgbm as lgb
import pandas as pd

PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 31,
    "min_data_in_leaf": 500,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "seed": 1,
    "deterministic": True,  # the same data set gives the same trees, byte for byte
    "force_row_wise": True,
    "num_threads": 1,  # the streams work beside it; threads that wait for each other on busy cores are slower than one
    "verbose": -1,
}
ROUNDS = 400


def train(features: pd.DataFrame, labels: pd.Series) -> lgb.Booster:
    """One row per labelled flight; text columns come as categories. The Booster predicts the probability of being late."""
    print(f"{len(features):,} flights, {labels.mean():.1%} late, {features.shape[1]} features")
    return lgb.train(PARAMETERS, lgb.Dataset(features, labels), num_boost_round=ROUNDS)
