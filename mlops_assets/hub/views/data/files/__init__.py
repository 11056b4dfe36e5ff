"""The files of data versions, in pages, and what versions changed; manifests are read in parts."""
