"""How a process lives on the mesh: sockets, hub, log, blobs, client, service, supervisor, settings. No ML."""
