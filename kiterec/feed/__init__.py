"""Live connections: every connection of every account, told what is wanted, and brought back when lost."""
