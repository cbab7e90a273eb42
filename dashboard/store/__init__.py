"""The local store the pages read: a DuckDB file that follows the topics and can be deleted at any time."""
