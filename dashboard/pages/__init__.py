"""The pages, in the order of the steps. Each module has NAME (its URL), TITLE and `show(desk)`."""

from dashboard.pages import drift, features, labels, live, models, predictions, retraining

PAGES = (live, features, predictions, labels, drift, retraining, models)
