"""What gateways say to each other about volumes that follow others, by HTTP over mutual TLS.

`wire` has the calls, `proof` how two gateways find out that both have the same
passphrase, `contexts` whom they believe by what certificate, `links` asks and
`door` answers. Content goes another way: see `gateway.mover`.
"""
