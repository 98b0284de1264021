"""The handlers of the libStorage door, a module for each kind of resource."""
