"""Recordings on disk: the journal that is being written, sealed parts, the manifest, and their repair.

The second station of the journey: rows of transcripts come in by `RecordingWriter.append`, and go out by
`read_transcript`.
"""
