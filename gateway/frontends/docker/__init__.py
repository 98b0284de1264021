"""The Docker volume plugin, protocol version 1: `docker volume create -d gateway` and what follows from it."""
