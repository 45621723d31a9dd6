"""What the ledger tells: sums, forecasts, what-ifs, audits, and how they are shown."""
