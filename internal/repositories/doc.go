// Package repositories reads and writes schema profile. Store runs transactions; inside one, Tx offers a
// repository per table, bound to that transaction. Writers take slices, change the rows in one statement
// and return what changed. Driver errors are translated here and nowhere else.
package repositories
