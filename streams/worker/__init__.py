"""What drives a step: every record once, in the order of the log. Begin with engine.py."""
