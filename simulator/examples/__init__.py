"""Complete examples: how tests drive the simulator, from pytest and from a shell."""
