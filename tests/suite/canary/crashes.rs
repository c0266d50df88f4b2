//! What goes wrong beneath the proxy and takes a secret with it.
