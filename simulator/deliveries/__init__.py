"""The table of deliveries: every trigger that fired, its attempts, and the redeliver button."""
