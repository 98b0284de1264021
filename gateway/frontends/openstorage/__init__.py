"""The openstorage door: the SDK over gRPC and REST, and the older REST API."""
