"""The libStorage door (REX-Ray). Not served yet."""
