"""Maps: model versions run over whole scenes, and the files that hold the result."""
