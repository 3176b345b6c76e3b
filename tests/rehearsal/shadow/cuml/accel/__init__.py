"""scikit-learn's own estimators compute on the GPU; here they compute as ever."""
