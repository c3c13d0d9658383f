"""Between the eras."""
