"""Model files: the catalogue of all that the pack and its styles use, what of it is there, and downloading it."""
