"""A walk through the ONTAP door that goes to everything there is: `walk` takes it, `steps` says where it goes."""
