"""The driver that OpenStack Cinder loads. Not there yet."""
