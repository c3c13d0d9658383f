"""The only place that knows Quart: one module for each door."""
