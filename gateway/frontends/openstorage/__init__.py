"""The openstorage door (gRPC and REST). Not served yet."""
