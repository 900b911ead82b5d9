"""The server below the routes: connections, the HTTP protocol, the end."""
