"""The verbs of a simulator, by what they are about; `simulator.client.Control` has them all."""
