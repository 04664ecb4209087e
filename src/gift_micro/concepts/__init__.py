"""The concepts of the picture world, one module per group of families."""
