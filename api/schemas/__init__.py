"""What the service takes in and gives out, as JSON: one file for each resource."""
