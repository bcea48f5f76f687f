"""One file format a module: each turns a `Source` into a `Table`. The module's name is the file's suffix."""
