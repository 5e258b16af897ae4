"""Frames become tables: between the store, which keeps bytes, and whoever asks a question.

`decode` is the kernel, `scan` makes it a lazy table over a recording, `schema` says what the columns mean.
"""
