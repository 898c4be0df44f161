"""The trained styles in pretrained/."""
