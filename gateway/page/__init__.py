"""The page on which the API is read and tried: files that a browser gets, and where they come from."""
