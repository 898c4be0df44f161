"""The training of the built-in loss network, from the features of ImageNet's VGG16."""
