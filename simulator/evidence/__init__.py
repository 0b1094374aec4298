"""Recorded traffic of a real tenant against the ledger: confirmed, refuted, not seen."""
