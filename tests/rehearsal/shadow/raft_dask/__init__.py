"""Found by the check of packages; the stand-in of cuML needs no communicator."""
