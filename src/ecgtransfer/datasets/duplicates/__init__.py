"""Duplicates: the same ECG twice, in one store or in two; at another rate, gain, crop, filter or upside down.

Nobody compares all pairs; the time is linear in records. the way:

1. Recordings with equal hashes are equal.
2. Of every other recording, `pieces` of a few beats become vectors, and the whole becomes a sketch of some
   hundred bytes (`fingerprint`).
3. Vectors that lie close together (`neighbours`) make two recordings candidates.
4. Candidates whose `sketches` do not correlate are dropped.
5. What is left is read again and compared in full, on all common leads (`verification`).
"""

from ecgtransfer.datasets.duplicates.pairs import Found, Pair, find, search

__all__ = ["Found", "Pair", "find", "search"]
