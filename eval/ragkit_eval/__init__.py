"""Cases, metrics and ladders that compare set-ups, and the twin that they can run against."""
