// Package crawl is what strangers look for on a public listener, and what it must not serve (trust.md T15).
package crawl

import (
	_ "embed"
	"strings"
)

//go:embed paths.txt
var paths string

// Paths are request targets, some with a query, that no public listener may serve. Some are paths of other services; a
// listener that is meant to have one of them (a document at /docs) leaves it out.
func Paths() []string { return strings.Fields(paths) }
