"""Nothing leaks: unmistakable values in every column of every feed, everything broken, every readable place searched.

`values` and `dumps` plant, `scene` and `breaking` break, `places` reads, `needles` searches; the tests compare.
"""
