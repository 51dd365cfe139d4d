"""The toolkit: from the inventory to files, checks and reports; works on a checkout, never imported by the runtime."""
