"""The process runtime: sockets, hub, log, blobs, client, service, supervisor, settings. No ML code."""
