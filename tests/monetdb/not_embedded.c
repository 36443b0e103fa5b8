/* Loaded before MonetDB's libraries: an engine that believes to be embedded serves no clients. */
int GDKembedded(void) { return 0; }
