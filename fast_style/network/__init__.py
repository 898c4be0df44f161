"""The transformer network, and what it is made of."""
