"""Data of Git repositories that DVC tracks, as data versions.

Git and DVC's formats are read directly; neither `dvc` nor anything of the repository is executed.
"""
