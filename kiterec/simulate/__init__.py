"""A synthetic market as a timeline: what the replay server serves when there is no recording."""

from kiterec.simulate.market import VIRTUAL_START, SyntheticMarket

__all__ = ["VIRTUAL_START", "SyntheticMarket"]
