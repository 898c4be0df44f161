"""Collections of pictures through models: one machine's cores, or Ray's machines and GPUs."""
