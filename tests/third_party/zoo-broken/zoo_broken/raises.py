raise RuntimeError("no such chip")
