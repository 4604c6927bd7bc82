package main

import "time"

// rateBetween is accepted calls a second from one moment of a run to another, counted from its start.
func rateBetween(ok []int64, from, to time.Duration) float64 {
	first, last := max(0, int(from/slice)), min(len(ok), int(to/slice))
	if last <= first {
		return 0
	}
	var n int64
	for _, v := range ok[first:last] {
		n += v
	}
	return float64(n) / (time.Duration(last-first) * slice).Seconds()
}

// recovery is how long after the moment back the second begins in which the rate is at least the wanted one;
// false when there is none.
func recovery(ok []int64, back time.Duration, wanted float64) (time.Duration, bool) {
	const window = time.Second
	// The tenth of a second in which it came back is part of the search: being early does not help anybody.
	for at := max(0, back).Truncate(slice); at+window <= time.Duration(len(ok))*slice; at += slice {
		if rateBetween(ok, at, at+window) >= wanted {
			return max(0, at-back), true
		}
	}
	return 0, false
}
