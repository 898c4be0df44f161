"""The transformer network and its layers."""
