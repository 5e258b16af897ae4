"""A recording as one page to look at, between the recording's tables and whoever asks "was it a good day?".

`measures` aggregates, `charts` draws, `page` puts everything into one self-contained HTML file.
"""
