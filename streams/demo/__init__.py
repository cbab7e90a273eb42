"""The demo: the flights that left New York in 2013, streamed in the order in which they became known."""
