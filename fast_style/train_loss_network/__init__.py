"""Loss networks, such as the built-in one, which a clone trains with that downloads nothing."""
