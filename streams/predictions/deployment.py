"""Which version serves and which comes, as of a place in the log of deployments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Deployment:
    """A desired version. `effective_from` is the event time from which it serves, None for as soon as it is loaded."""

    model: str
    version: int
    sha256: str
    effective_from: int | None = None
    run_id: str = ""


@dataclass(frozen=True)
class Versions:
    """The version that serves, and the one that is loaded and effective later."""

    serving: Deployment | None = None
    coming: Deployment | None = None

    def at(self, time: int | None) -> Versions:
        """The same once event time is `time`, None before any."""
        since = self.coming.effective_from if self.coming else None
        if self.coming and (since is None or (time is not None and since <= time)):
            return Versions(self.coming)
        return self

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Versions:
        """The inverse of `asdict`."""
        return Versions(*(Deployment(**one) if one else None for one in (found["serving"], found["coming"])))


@dataclass
class Wish:
    """A desired record whose answer was not read back yet: the event time it found, what was until then, whether its version was loaded."""

    deployment: Deployment
    time: int | None
    before: Versions
    loaded: bool = True

    @property
    def after(self) -> Versions:
        """The newest wish wins: what was to come before it is no longer wanted."""
        return Versions(self.before.serving, self.deployment).at(self.time) if self.loaded else self.before

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Wish:
        """The inverse of `asdict`."""
        return Wish(Deployment(**found["deployment"]), found["time"], Versions.from_json(found["before"]), found["loaded"])
