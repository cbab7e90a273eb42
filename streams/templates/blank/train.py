"""How the model is trained. `train` is given the feature rows whose label is known, and these labels; it gives back a fitted model."""

import lightgbm
import pandas as pd


def train(features: pd.DataFrame, labels: pd.Series) -> lightgbm.LGBMClassifier:
    columns = [name for name in features.columns if name != "payment_id"]
    texts = {name: "category" for name in columns if features[name].dtype == object or str(features[name].dtype).startswith("str")}
    model = lightgbm.LGBMClassifier(
        n_estimators=80, num_leaves=15, learning_rate=0.08, min_child_samples=40, random_state=1, n_jobs=1, verbose=-1
    )
    return model.fit(features[columns].astype(texts), labels)
