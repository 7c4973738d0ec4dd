"""What the product is measured against, written the way users of the other tools write it."""
