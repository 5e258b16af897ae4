"""The last leg of the journey: a recording, or a synthetic market, goes out as if it were Kite."""
