"""The training of a style network: one step, the loop around it, and what is written meanwhile."""
