"""The built-in loss network, which a clone trains with that downloads nothing."""
