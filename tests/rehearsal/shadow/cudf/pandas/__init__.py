"""pandas' own calls compute on the GPU; here they compute as ever."""
