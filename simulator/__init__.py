"""Plays the 8x8 Contact Center side: Local CRM, both consoles, CRM triggers and the CRM API."""
