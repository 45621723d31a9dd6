"""Models on machines of your own: what fits, how fast it is, when it pays, how it is started and how it does."""
