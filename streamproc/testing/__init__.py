"""For authors of plug-ins: checks that a plug-in must pass, memory plug-ins, a scripted server, a virtual clock."""
