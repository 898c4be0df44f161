"""What a training minimizes: the loss network and the terms of the objective."""
