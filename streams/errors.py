"""The tree of errors.

DriftlineError
├── ProjectError          driftline.toml, or a file it names, is wrong
├── FeatureError          features.sql is refused: line, column, what was met, what was wished
├── EventError            one event cannot be read: its place and the reason
├── BrokerError           the broker cannot be started or reached
├── StateError            a snapshot or the log cannot give the state back
├── ModelError            a model cannot be loaded, or its digest is wrong
├── RunError              a retraining run cannot be started or failed
└── PromotionError        the deployment repository refuses
"""


class DriftlineError(Exception):
    """The root. `message` says what was met, what was wished and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ProjectError(DriftlineError):
    """driftline.toml, or a file it names, is wrong."""


class FeatureError(DriftlineError):
    """The feature SQL is refused; the message begins with file:line:column where these are known."""


class EventError(DriftlineError):
    """One event cannot be read; the message carries its place, as in `departures[3]@1042`."""


class BrokerError(DriftlineError):
    """The broker cannot be started or reached."""


class StateError(DriftlineError):
    """A snapshot or the log cannot give the state back."""


class ModelError(DriftlineError):
    """A model cannot be loaded, or its digest differs from the deployed one."""


class RunError(DriftlineError):
    """A retraining run cannot be started, or failed."""


class PromotionError(DriftlineError):
    """The deployment repository refuses a change of the desired state."""
