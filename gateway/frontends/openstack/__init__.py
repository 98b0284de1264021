"""What the drivers of OpenStack services share: options, the connection to a gateway, sources of configuration.

It runs inside of the services' processes, so nothing here imports what only a
gateway's own process has.
"""
