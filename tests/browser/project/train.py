import lightgbm as lgb


def train(features, labels):  # type: ignore[no-untyped-def]
    print("fitting", len(features), "rows")
    settings = {"objective": "binary", "num_leaves": 7, "verbose": -1, "seed": 1, "deterministic": True, "num_threads": 1}
    return lgb.train(settings, lgb.Dataset(features, labels), num_boost_round=40)
