"""What each resource does with a POST, PATCH or DELETE: values by path in, use cases of the core out."""
