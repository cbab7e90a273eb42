"""The commands of `driftline`, by what they are about; each module has `register(app)`."""
