"""The price table: its file, its compiled rows, its listing, and how it compares with others."""
