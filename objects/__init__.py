"""Object storage: where finished recordings are kept. A local directory, or any S3-compatible store."""
