"""Tests of the commands on the terminal."""
