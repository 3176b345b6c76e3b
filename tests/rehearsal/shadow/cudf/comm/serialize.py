"""Nothing to register: pickle takes the stand-ins."""
