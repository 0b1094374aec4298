"""Faults on purpose: what breaks, on which calls and for how long, as data; off unless added."""
