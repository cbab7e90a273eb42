"""`driftline up`: the broker, the streams and the dashboard of one project, kept alive until somebody stops them."""
