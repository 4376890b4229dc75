"""dealgate as a service: origination systems that are not Python call it over HTTP."""
