"""Columns from the bytes of records and back: JSON (json.py) and Avro (avro.py)."""
