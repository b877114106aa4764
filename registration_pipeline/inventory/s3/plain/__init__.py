"""Plain pages of S3 the short way: requests that the client's own signer signs, sent over lines of our own."""
