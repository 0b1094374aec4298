"""The control API: what a test, a script or a person does to the simulator itself, under /_sim/."""
