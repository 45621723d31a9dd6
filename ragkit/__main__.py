"""`python -m ragkit` is the `ragkit` command."""

from ragkit.cli import main

main()
