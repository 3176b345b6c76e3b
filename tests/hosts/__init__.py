"""The lessons on three hosts: Linux network namespaces on a bridge, with TLS."""
