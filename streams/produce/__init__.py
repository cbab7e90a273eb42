"""Files and standard input into the log: merged by event time, exactly once, resumable, at any pace."""
