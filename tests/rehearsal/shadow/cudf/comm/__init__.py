"""Serialisation, which is pickle's here."""
