"""How everything in the household looks, drawn with shapes: no picture files."""
