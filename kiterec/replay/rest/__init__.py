"""The REST twin: what the vendor's HTTP API would have answered at the replay's instant."""
