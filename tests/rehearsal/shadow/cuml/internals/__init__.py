"""What cuML's estimators share."""
