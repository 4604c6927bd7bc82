package services

import (
	"fmt"
	"strings"
)

// cut keeps the first size of size+1 rows read; when there was one more, token continues below the last
// row kept.
func cut[T any](rows []T, size int, token func(last T) string) (kept []T, next string) {
	if len(rows) <= size {
		return rows, ""
	}
	rows = rows[:size]
	return rows, token(rows[size-1])
}

// filterText spells filter values one way, for the scope of a page token.
func filterText(values ...any) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "%v\n", v)
	}
	return b.String()
}
