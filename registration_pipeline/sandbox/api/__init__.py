"""The HTTP side of the sandbox: the application, its endpoints, signatures and traffic."""
