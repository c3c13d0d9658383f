"""Files that were written for other gateways: each dialect is translated into our own keys, and nobody else knows of it.

A translation is pure. What has no counterpart here is a problem that names the key as its author wrote it; what only
falls away, and harms nobody, is a note. Nothing is passed over in silence.
"""
