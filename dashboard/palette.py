"""Colours with fixed meanings, the same on every page, told apart by colour-blind eyes (after Okabe and Ito), in light and in dark."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """One colour per meaning. `low` to `high` is the ramp of the heat map, from no distance to alarm."""

    reference: str
    current: str
    champion: str
    challenger: str
    alarm: str
    watch: str
    quiet: str
    text: str
    faint: str
    grid: str
    ground: str
    ramp: tuple[str, ...]


LIGHT = Palette(
    reference="#8A93A0",
    current="#0072B2",
    champion="#00805C",
    challenger="#A8488F",
    alarm="#C4500A",
    watch="#9A6B00",
    quiet="#00805C",
    text="#1B2430",
    faint="#5C6672",
    grid="#E6EAEF",
    ground="#FFFFFF",
    ramp=("#F2F4F7", "#F6EFE6", "#F3B27A", "#DE7A2E", "#A83E05"),
)

DARK = Palette(
    reference="#8C97A5",
    current="#56B4E9",
    champion="#2FBF91",
    challenger="#DD8CC6",
    alarm="#FF8A3D",
    watch="#E3B23C",
    quiet="#2FBF91",
    text="#E6EBF1",
    faint="#9AA6B4",
    grid="#2A323D",
    ground="#12171E",
    ramp=("#1D252F", "#2E2A28", "#84501F", "#C66D22", "#FF9A4D"),
)


def palette(dark: bool) -> Palette:
    return DARK if dark else LIGHT
