"""How well the test split resembles the area that is to be mapped.

Nearest-neighbour distances and their Wasserstein distance are those of kNNDM: Linnenbrink, Milà,
Ludwig, Meyer (2024), doi:10.5194/gmd-17-5897-2024.
"""
