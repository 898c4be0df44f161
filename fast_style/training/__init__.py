"""The training of a style network: one step, the loop around it, and the logs."""
