"""The cost of training and stylizing on this machine."""
