"""The AI gateway: providers of models behind one interface, routed, priced, metered."""
