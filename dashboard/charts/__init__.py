"""The pictures: frames in, Altair charts out. A colour means the same in each of them; event time is on every x axis."""
