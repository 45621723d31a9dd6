"""Documents to searchable chunks: load, parse, chunk, commit, embed."""
