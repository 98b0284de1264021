"""The native door: the gateway's own resources, in the core's words, below `/gateway/`.

It is for what no dialect has all the words for: drivers that live in other
programs speak it by `gateway.client.native`.
"""
