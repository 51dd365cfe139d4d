"""What the bench measures, row by row, and the figures that some rows have to reach."""
