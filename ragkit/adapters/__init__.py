"""ragkit inside other frameworks' apps, one file per framework."""
