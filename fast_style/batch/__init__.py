"""Collections of pictures through models on Ray: one machine's cores or a cluster's."""
