"""What the door does for each kind of object. Handlers get an `Ask` and give a record of `model`."""
