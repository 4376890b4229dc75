"""A small loan-origination application that embeds dealgate."""
