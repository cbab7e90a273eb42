"""The records of the low-rate topics, as what a step reads of them.

A schema names only the fields that a step needs as columns; a record may have more (nested ones too), which are read as JSON where
they are wanted.
"""

from __future__ import annotations

from streams.types import Schema, Type

NEVER_IDLE = 2**62  # an input that always holds the others back: a replay must not run past it, however long it is quiet
CONTROL = 0  # an input whose records are taken as soon as they are read

# Ends of a run; each frees the predictions that wait for it.
ENDED = ("promoted", "rejected", "failed", "cancelled")

# Control records are read as their JSON text.
TEXT: Schema = {"_value": Type.STRING}


def predictions(segments: Schema) -> Schema:
    """One prediction; `segments` are the feature columns that checks are split by."""
    return {
        "prediction_id": Type.STRING,
        "label_key": Type.STRING,
        "score": Type.DOUBLE,
        "prediction": Type.BOOL,
        "model": Type.STRING,
        "version": Type.BIGINT,
        "predicted_at": Type.BIGINT,
        "features_partition": Type.BIGINT,
        "features_offset": Type.BIGINT,
        "_plan": Type.STRING,
        **segments,
    }


def outcomes(segments: Schema) -> Schema:
    """One prediction with its label, or with the word that none will come. `known_at` is the event time at which that was known."""
    return {
        "prediction_id": Type.STRING,
        "label_key": Type.STRING,
        "score": Type.DOUBLE,
        "prediction": Type.BOOL,
        "model": Type.STRING,
        "version": Type.BIGINT,
        "label": Type.BOOL,
        "label_time": Type.BIGINT,
        "known_at": Type.BIGINT,
        "state": Type.STRING,
        **segments,
    }
