"""What REST makes of a call and of its answer, where that is more than to pass them on. No Quart."""
